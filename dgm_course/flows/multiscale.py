"""Flows over pictures: from (B, C, H, W) to noise vectors (B, D).

Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017,
section 3.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Flow, WithLadj


class Squeeze(Flow):
    """Turn blocks of 2x2 pixels into channels, ladj = 0 (figure 3).

    Shape:
        x: (B, C, H, W), H and W even. z: (B, 4 C, H/2, W/2); channel
        4 c + 2 i + j holds pixel (i, j) of the blocks of channel c.
    """

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Four times the channels, half the height and width."""
        channels, height, width = shape
        if height % 2 or width % 2:
            raise ValueError(
                f"pictures of {height}x{width} cannot be squeezed; expected "
                "even height and width (pad them first)"
            )
        return 4 * channels, height // 2, width // 2

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Pixels to channels."""
        self.output_shape(x.shape[1:])
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Channels to pixels."""
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])


class Flatten(Flow):
    """Write a picture as a vector, ladj = 0: the end of a flow over pictures.

    Args:
        shape: Of one picture, such as 1, 28, 28.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One dimension, with all values."""
        return (math.prod(shape),)

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """``(B, *shape)`` to (B, D)."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (B, "
                f"{', '.join(map(str, self.shape))})"
            )
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """(B, D) to ``(B, *shape)``."""
        return z.unflatten(1, self.shape), z.new_zeros(z.shape[0])


class MultiScale(Flow):
    """After each level but the last, half of the channels become noise.

    The other half goes on. Where a level begins or ends with
    :class:`Squeeze`, later levels see larger structures at less cost.

    Args:
        levels: Flows from pictures to pictures.
        shape: (C, H, W) of one picture.

    Raises:
        ValueError: If a level leaves an odd number of channels to split.

    Shape:
        x: (B, C, H, W). z: (B, D), the first level's noise first. context: a
        vector, or a picture of the size of x (see
        :class:`~dgm_course.flows.coupling.Coupling`).
    """

    def __init__(self, levels: Sequence[Flow], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.levels: Any = nn.ModuleList(levels)
        self.shape = tuple(shape)
        self.shapes: list[tuple[int, ...]] = []  # of what each level returns
        for i, level in enumerate(levels):
            shape = level.output_shape(shape)
            self.shapes.append(shape)
            if i + 1 < len(levels):
                channels, *size = shape
                if channels % 2:
                    raise ValueError(
                        f"level {i} returns pictures {tuple(shape)}, whose "
                        "channels cannot be halved; put a Squeeze into it"
                    )
                shape = (channels // 2, *size)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One dimension, with all values."""
        return (math.prod(shape),)

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the levels, and put aside half of what each returns."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this flow expects (B, "
                f"{', '.join(map(str, self.shape))})"
            )
        total, done = x.new_zeros(x.shape[0]), []
        for level in self.levels[:-1]:
            x, ladj = level(x, context)
            x, noise = x.chunk(2, dim=1)
            done.append(noise.flatten(1))
            total = total + ladj
        x, ladj = self.levels[-1](x, context)
        return torch.cat([*done, x.flatten(1)], dim=1), total + ladj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Undo the levels from last to first, and put the halves back."""
        *shapes, last = self.shapes
        halves = [(c // 2, *size) for c, *size in shapes]
        parts = z.split([math.prod(s) for s in [*halves, last]], dim=1)
        x, total = self.levels[-1].inverse(
            parts[-1].unflatten(1, last), context
        )
        for i in reversed(range(len(halves))):
            noise = parts[i].unflatten(1, halves[i])
            x = torch.cat([x, noise], dim=1)
            x, ladj = self.levels[i].inverse(x, context)
            total = total + ladj
        return x, total
