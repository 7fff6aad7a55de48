"""RevNet and the ResNet that it is measured against, for small pictures.

Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network", 2017; He,
Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor, nn

from ..nn import BatchNorm2d
from .sequence import ReversibleBlock, ReversibleSequence
from .units import Residual, ReversibleUnit, Size, Unit, convolution


class Classifier(nn.Module):
    """A convolution, stages of blocks, the mean over places, a linear layer.

    Every stage but the first halves the size of the picture.

    Args:
        blocks: Number of blocks in each stage.
        widths: Channels of each stage; those of the first convolution are
            the first of them.
        bottleneck: Blocks of 1x1, 3x3 and 1x1 convolutions, with four times
            the channels between them.
        channels: Channels of a picture.
        classes: Number of classes.

    Raises:
        ValueError: If there is not one width for each stage, or a number is
            below 1.

    Shape:
        (B, channels, H, W) to logits (B, classes).
    """

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        bottleneck: bool = False,
        channels: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        if len(blocks) != len(widths) or min([*blocks, *widths], default=0) < 1:
            raise ValueError(
                f"blocks = {list(blocks)}, widths = {list(widths)}; expected "
                "one number of blocks and one width for each stage, at least 1"
            )
        inputs = widths[0]
        layers: list[nn.Module] = [convolution(channels, inputs, 3, 1)]
        for i, (count, width) in enumerate(zip(blocks, widths)):
            outputs = 4 * width if bottleneck else width
            stride = 2 if i > 0 else 1
            size = Size(inputs, outputs, stride, bottleneck)
            layers += self.stage(count, size)
            inputs = outputs
        self.layers: Any = nn.ModuleList(layers)
        self.norm = BatchNorm2d(inputs)
        self.head = nn.Linear(inputs, classes)

    def stage(self, count: int, size: Size) -> list[nn.Module]:
        """Return ``count`` blocks of a stage; the first is of this size."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes."""
        first, *layers = self.layers
        # under autocast too the sums keep the picture's precision: what a
        # reversible block adds in bfloat16, it could not take away again
        x = first(x).to(x.dtype)
        for layer in layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x  # a flow's value
        return self.head(self.norm(x).relu().mean((2, 3)))


class ResNet(Classifier):
    """A residual network with pre-activation; arguments as Classifier."""

    def stage(self, count: int, size: Size) -> list[nn.Module]:
        """A block that resizes, and blocks that do not."""
        rest = size._replace(inputs=size.outputs, stride=1)
        return [Unit(*size), *(Unit(*rest) for _ in range(count - 1))]

    @classmethod
    def of_depth(cls, depth: int, channels: int = 3, classes: int = 10) -> Self:
        """The networks of the papers: 32, 110 or 164 layers.

        Raises:
            ValueError: For any other depth.
        """
        blocks, widths, bottleneck = size_of(depth, RESNETS)
        return cls(blocks, widths, bottleneck, channels, classes)


class RevNet(Classifier):
    """The same with reversible blocks; arguments as Classifier.

    ``widths`` count the channels of both halves. Stored are the activations
    of the first block of a stage, which resizes, and one activation a stage.

    Attributes:
        store: Keep all activations, as plain autograd does; may be set.

    Raises:
        ValueError: If a width is odd.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        bottleneck: bool = False,
        channels: int = 3,
        classes: int = 10,
    ) -> None:
        if any(width % 2 for width in widths):
            raise ValueError(
                f"widths = {list(widths)}: expected even numbers, two halves"
            )
        super().__init__(blocks, widths, bottleneck, channels, classes)

    def stage(self, count: int, size: Size) -> list[nn.Module]:
        """A block that resizes, where one must, and a reversible sequence."""
        first: list[nn.Module] = []
        if size.stride > 1 or size.inputs != size.outputs:
            first = [ReversibleUnit(*size)]
        half = Size(size.outputs // 2, size.outputs // 2, 1, size.bottleneck)
        blocks = [
            ReversibleBlock(Residual(*half), Residual(*half))
            for _ in range(count - len(first))
        ]
        return first + ([ReversibleSequence(*blocks)] if blocks else [])

    @property
    def store(self) -> bool:
        """Whether all activations are kept."""
        return any(s.store for s in self._sequences())

    @store.setter
    def store(self, value: bool) -> None:
        for sequence in self._sequences():
            sequence.store = value

    def _sequences(self) -> list[ReversibleSequence]:
        return [s for s in self.layers if isinstance(s, ReversibleSequence)]

    @classmethod
    def of_depth(cls, depth: int, channels: int = 3, classes: int = 10) -> Self:
        """The networks of the paper (table 1): 38, 110 or 164 layers.

        Raises:
            ValueError: For any other depth.
        """
        blocks, widths, bottleneck = size_of(depth, REVNETS)
        return cls(blocks, widths, bottleneck, channels, classes)


# layers: blocks and widths of the stages, bottleneck
RESNETS = {
    32: ((5, 5, 5), (16, 32, 64), False),
    110: ((18, 18, 18), (16, 32, 64), False),
    164: ((18, 18, 18), (16, 32, 64), True),
}
REVNETS = {
    38: ((3, 3, 3), (32, 64, 112), False),
    110: ((9, 9, 9), (32, 64, 128), False),
    164: ((9, 9, 9), (32, 64, 128), True),
}


def size_of(depth: int, table: dict[int, Any]) -> Any:
    """Look up the size of a network of the papers.

    Raises:
        ValueError: If there is none of this depth.
    """
    if depth not in table:
        raise ValueError(
            f"depth = {depth}; expected one of {', '.join(map(str, table))}, "
            "or build the network from blocks and widths"
        )
    return table[depth]
