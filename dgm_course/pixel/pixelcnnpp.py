"""PixelCNN++: two streams, down to lower resolutions and up again.

Salimans, Karpathy, Chen and Kingma, "PixelCNN++: Improving the PixelCNN with
Discretized Logistic Mixture Likelihood and Other Modifications", 2017.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ..limits import at_least
from ..nn.residual import GatedResidual, concat_elu
from .sampling import CausalNet, Half, Shown, check_labels

# left, right, top, bottom; what it shifts, a convolution does not see
DOWN = (1, 1, 1, 0)  # rows up to its own, all of them
RIGHT = (1, 0, 1, 0)  # what is above and to the left, and itself


def convolution(
    inputs: int,
    outputs: int,
    pad: tuple[int, int, int, int],
    stride: int = 1,
) -> nn.Sequential:
    """Pad, then convolve with normalized weights.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        pad: Zeros at the left, right, top and bottom; a negative number
            shifts. The kernel is as large as what they make visible.
        stride: Of the convolution.
    """
    left, right, top, bottom = pad
    size = (top + bottom + 1, left + right + 1)
    layer = nn.Conv2d(inputs, outputs, size, stride)
    return nn.Sequential(nn.ZeroPad2d(pad), parametrizations.weight_norm(layer))


class Path(nn.Module):
    """Gated blocks, a path at half the resolution, and blocks with shortcuts.

    Each block on the way up sees what one on the way down has put out, the
    last one first (section 2.4). The stream of columns also sees, block by
    block, that of rows. Both grow by kernels of 2x2 that do not overlap, where
    the authors' stream of rows takes 2x3, and weights are not initialized from
    data.

    Args:
        channels: Channels of all blocks.
        blocks: Blocks on the way down.
        depth: Number of resolutions.
        pad: Of the convolutions: DOWN or RIGHT.
        seen: Whether another stream is seen.
        dropout: Share of hidden values that are dropped in training.
    """

    def __init__(
        self,
        channels: int,
        blocks: int,
        depth: int,
        pad: tuple[int, int, int, int],
        seen: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        other = channels if seen else 0
        make = partial(
            GatedResidual,
            channels,
            dropout=dropout,
            convolution=partial(convolution, pad=pad),
        )
        self.down: Any = nn.ModuleList(make(other) for _ in range(blocks))
        # one more, for what entered, where something is below
        self.up: Any = nn.ModuleList(
            make(other + channels) for _ in range(blocks + (depth > 1))
        )
        self.smaller: Any = None
        if depth > 1:
            self.pad, shrink = convolution(channels, channels, pad, stride=2)
            below = Path(channels, blocks, depth - 1, pad, seen, dropout)
            grow = nn.ConvTranspose2d(channels, channels, 2, stride=2)
            self.smaller = Half(shrink, below, grow)

    def forward(self, x: Tensor, seen: Shown = ()) -> tuple[Tensor, Shown]:
        """Run the path.

        Args:
            x: (B, channels, H, W).
            seen: What the other stream's path has shown; empty if there is
                none.

        Returns:
            A picture of the same size, and what each block has put out: those
            on the way down, those below, those on the way up.
        """
        downs, below, ups = seen or ((), (), ())
        passed, shown = [x], []
        for k, block in enumerate(self.down):
            x = block(x, downs[k] if seen else None)
            passed.append(x)
        outputs, inner = tuple(passed[1:]), ()
        if self.smaller is None:
            passed.pop()
        else:
            x, inner = self.smaller(self.pad(x), below)
        for k, block in enumerate(self.up):
            short = passed.pop()
            x = block(x, torch.cat([ups[k], short], 1) if seen else short)
            shown.append(x)
        return x, (outputs, inner, tuple(shown))


class PixelCNNPP(CausalNet):
    """Two streams over three resolutions, and one layer behind them.

    The stream of rows sees the rows above; that of columns sees it, and what
    is to the left. A pixel is seen with all its channels or not at all: for
    a likelihood that is ``joint``, such as
    :class:`~dgm_course.likelihoods.ColourLogistics`.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs.
        channels: Channels of the streams.
        blocks: Blocks at each resolution, down and (but one) up.
        depth: Number of resolutions, each half of the one before.
        dropout: Share of hidden values that are dropped in training.

    Raises:
        ValueError: If a number is below 1.

    Shape:
        (B, C, H, W) to (B, outputs, H, W), where ``2 ** (depth - 1)``
        divides H and W.
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        channels: int = 32,
        blocks: int = 2,
        depth: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, channels=channels, depth=depth)
        at_least(1, blocks=blocks, outputs=outputs)
        self.multiple = 2 ** (depth - 1)
        enter = partial(convolution, colours, channels)
        self.above = enter((1, 1, 2, -1))
        self.row_above = enter((1, 1, 1, -1))
        self.left = enter((1, -1, 1, 0))
        path = partial(Path, channels, blocks, depth, dropout=dropout)
        self.row_path = path(DOWN, False)
        self.column_path = path(RIGHT, True)
        self.last = convolution(2 * channels, outputs, (0, 0, 0, 0))

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to parameters (B, outputs, H, W).

        Raises:
            ValueError: If a context is given, or the size cannot be halved.
        """
        if y.shape[2] % self.multiple or y.shape[3] % self.multiple:
            raise ValueError(
                f"pictures have shape {tuple(y.shape)}; expected height and "
                f"width to be multiples of {self.multiple}"
            )
        return super().forward(y, context)

    def rows(self, y: Tensor, context: Tensor | None) -> Shown:
        """Run the stream of rows.

        Raises:
            ValueError: If a context is given.
        """
        check_labels(context, y.shape[0], 0)
        _, shown = self.row_path(self.above(y))
        return self.row_above(y), shown

    def columns(self, y: Tensor, rows: Shown, context: Tensor | None) -> Tensor:
        """Run the stream of columns."""
        row_above, seen = rows
        h, _ = self.column_path(row_above + self.left(y), seen)
        return self.last(concat_elu(h))
