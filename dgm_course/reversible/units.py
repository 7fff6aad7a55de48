"""The parts of residual networks, plain and reversible, for small pictures.

He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", 2016;
Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network", 2017.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn import BatchNorm2d
from .sequence import halves


class Size(NamedTuple):
    """What the parts of a block are made of, see :class:`Residual`."""

    inputs: int
    outputs: int
    stride: int
    bottleneck: bool


class Residual(nn.Sequential):
    """Normalize, ReLU, convolve: twice 3x3, or 1x1, 3x3 and 1x1.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: 2 halves height and width.
        bottleneck: Three convolutions, the first two with ``outputs / 4``
            channels.

    Shape:
        (B, inputs, H, W) to (B, outputs, H / stride, W / stride), rounded up.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, bottleneck: bool
    ) -> None:
        plan = [(outputs, 3, stride), (outputs, 3, 1)]
        if bottleneck:
            inner = outputs // 4
            plan = [(inner, 1, 1), (inner, 3, stride), (outputs, 1, 1)]
        layers: list[nn.Module] = []
        for width, size, step in plan:
            layers += [BatchNorm2d(inputs), nn.ReLU()]
            layers.append(convolution(inputs, width, size, step))
            inputs = width
        super().__init__(*layers)


class Shortcut(nn.Module):
    """The identity, brought to another size.

    Average pooling and channels of zeros, or, beside a bottleneck, a learned
    projection. Arguments and shape as :class:`Residual`.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, bottleneck: bool
    ) -> None:
        super().__init__()
        self.stride, self.more = stride, outputs - inputs
        self.project = None
        if bottleneck and (stride > 1 or self.more):
            self.project = convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Bring x to the size of the residual."""
        if self.project is not None:
            return self.project(x)
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, 0, self.more))


class Unit(nn.Module):
    """shortcut(x) + residual(x). Arguments and shape as :class:`Residual`."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, bottleneck: bool
    ) -> None:
        super().__init__()
        self.shortcut = Shortcut(inputs, outputs, stride, bottleneck)
        self.residual = Residual(inputs, outputs, stride, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the block computes."""
        return self.shortcut(x) + self.residual(x)


class ReversibleUnit(nn.Module):
    """y1 = S1(x1) + F(x2), y2 = S2(x2) + G(y1), where the shortcuts S resize.

    The first block of a stage: it cannot be undone, so its activations are
    stored (Gomez et al., 2017, section 3.2). Arguments and shape as
    :class:`Residual`.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, bottleneck: bool
    ) -> None:
        super().__init__()
        sizes = inputs // 2, outputs // 2, stride, bottleneck
        self.shortcuts: Any = nn.ModuleList(Shortcut(*sizes) for _ in "12")
        self.f = Residual(*sizes)
        half = outputs // 2
        self.g = Residual(half, half, 1, bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        """Apply F, then G."""
        x1, x2 = halves(x)
        first, second = self.shortcuts
        y1 = first(x1) + self.f(x2)
        return torch.cat([y1, second(x2) + self.g(y1)], dim=1)


def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    """Return a convolution without bias, for a normalization follows it."""
    layer = nn.Conv2d(
        inputs, outputs, size, stride, padding=size // 2, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
