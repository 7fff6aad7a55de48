"""i-RevNet: a classifier that discards nothing before its last projection.

Jacobsen, Smeulders and Oyallon, "i-RevNet: Deep Invertible Networks", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..flows import Compose, Squeeze
from ..nn import BatchNorm2d
from .sequence import HalfStep, ReversibleSequence
from .units import convolution


class Bottleneck(nn.Sequential):
    """Three 3x3 convolutions behind normalization and ReLU (section 3.1).

    Args:
        inputs: Channels of the input.
        hidden: Channels between the convolutions.
        outputs: Channels of the output.
        stride: 2 halves height and width.

    Shape:
        (B, inputs, H, W) to (B, outputs, H / stride, W / stride).
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, stride: int
    ) -> None:
        super().__init__(
            BatchNorm2d(inputs),
            nn.ReLU(),
            convolution(inputs, hidden, 3, stride),
            BatchNorm2d(hidden),
            nn.ReLU(),
            convolution(hidden, hidden, 3, 1),
            BatchNorm2d(hidden),
            nn.ReLU(),
            convolution(hidden, outputs, 3, 1),
        )


class IRevNet(nn.Module):
    """Squeeze, half steps, and one linear layer on the mean over places.

    Every stage but the first begins with a half step that squeezes. Nothing
    is lost: what the paper calls S is :class:`Squeeze`, S^-1 its inverse.

    Args:
        shape: (C, H, W) of a picture; H and W are divisible by 2 to the
            number of stages.
        blocks: Half steps in each stage.
        hidden: Channels inside the networks of each stage.
        padding: Channels of zeros that are added behind the first squeeze.
            With 0 the map from pictures to features is a bijection; with more
            it is injective, has more room, and :meth:`invert` is its
            pseudo-inverse. The zeros come first: the first network reads the
            picture and fills them. It should see none, so add at most as many
            channels as there are: to normalize a constant channel is to
            divide by nearly nothing, and rounding grows on the way back.
        classes: Number of classes.
        store: As for :class:`ReversibleSequence`.

    Raises:
        ValueError: If sizes do not fit.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        blocks: Sequence[int],
        hidden: Sequence[int],
        padding: int = 0,
        classes: int = 10,
        store: bool = False,
    ) -> None:
        super().__init__()
        if len(blocks) != len(hidden) or min([*blocks, *hidden], default=0) < 1:
            raise ValueError(
                f"blocks = {list(blocks)}, hidden = {list(hidden)}; expected "
                "one number of half steps and one width for each stage, at "
                "least 1"
            )
        self.shape, self.padding = tuple(shape), padding
        self.squeeze = Squeeze()
        channels, *size = self.squeeze.output_shape(self.shape)
        if padding < 0 or (channels + padding) % 2:
            raise ValueError(
                f"padding = {padding}: expected an even number, 0 for a "
                f"bijection, beside the {channels} channels of the picture"
            )
        half = (channels + padding) // 2
        steps = []
        for i, (count, width) in enumerate(zip(blocks, hidden)):
            for j in range(count):
                first = i > 0 and j == 0
                outputs = 4 * half if first else half
                net = Bottleneck(half, width, outputs, 2 if first else 1)
                steps.append(HalfStep(net, squeeze=first))
                half = outputs
        self.sequence = ReversibleSequence(*steps, store=store)
        # of the features, (C, H, W)
        self.width = self.sequence.output_shape((channels + padding, *size))
        self.norm = BatchNorm2d(self.width[0])
        self.head = nn.Linear(self.width[0], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes: (B, C, H, W) to (B, classes)."""
        return self.project(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Map pictures to all that the network knows of them.

        Raises:
            ValueError: If x has another shape.
        """
        self._check("x", x, self.shape)
        z, _ = self.squeeze(x)
        z = F.pad(z, (0, 0, 0, 0, self.padding, 0))
        return self.sequence(z)[0]

    def project(self, features: Tensor) -> Tensor:
        """Map features to logits: the one step that loses something."""
        return self.head(self.norm(features).relu().mean((2, 3)))

    def invert(self, features: Tensor) -> Tensor:
        """Map features to the picture that has them.

        Where zeros were added and the features come from no picture, what the
        picture cannot hold is dropped (the pseudo-inverse). Statistics are
        those of :meth:`features` in evaluation mode alone: call ``eval()``.

        Raises:
            ValueError: If features have another shape.
        """
        self._check("features", features, self.width)
        z, _ = self.sequence.inverse(features)
        return self.squeeze.inverse(z[:, self.padding :])[0]

    def flow(self) -> Compose:
        """Return the map from pictures to features as a flow, ladj = 0.

        Raises:
            ValueError: If it is no bijection.
        """
        if self.padding:
            raise ValueError(
                f"padding = {self.padding}: pictures fill a part of the "
                "feature space only, so there is no density; use padding = 0"
            )
        return Compose(self.squeeze, self.sequence)

    @staticmethod
    def _check(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
        if x.shape[1:] != shape:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; expected (B, "
                f"{', '.join(map(str, shape))})"
            )
