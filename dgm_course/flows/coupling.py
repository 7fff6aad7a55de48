"""Couplings: change one part of x, by a map that the other part decides.

A coupling is made of three independent choices: which part is kept (a
partition), a network that looks at it, and a one-dimensional map
(a :class:`~dgm_course.flows.conditionals.Conditional`) whose parameters are
the network's outputs. Only the map is ever inverted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn import per_value
from ..sight import with_values
from .base import Flow, WithLadj
from .conditionals import Conditional


class Partition(ABC):
    """Two parts of x: one that is kept and one that changes.

    Args:
        swap: Keep the second part instead of the first.
    """

    def __init__(self, swap: bool = False) -> None:
        self.swap = swap

    @abstractmethod
    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return first and second part of x, (B, D) or (B, C, H, W)."""

    @abstractmethod
    def whole(self, first: Tensor, second: Tensor) -> Tensor:
        """Undo :meth:`parts`: return a tensor of the shape of x."""

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parts of x, (B, ...), that is kept and that changes."""
        first, second = self.parts(x)
        return (second, first) if self.swap else (first, second)

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Undo :meth:`split`: return a tensor of the shape of x."""
        parts = (changed, kept) if self.swap else (kept, changed)
        return self.whole(*parts)

    def run(
        self, net: nn.Module, kept: Tensor, context: Tensor | None
    ) -> Tensor:
        """Let the network look at the part that is kept.

        Returns:
            (B, P C, H, W) or (B, P D): P numbers for each value of the part
            that changes.
        """
        return net(kept, context)


class Channels(Partition):
    """The first ceil(C/2) channels, and the others (Dinh et al., 2017, fig. 3).

    Shape:
        (B, C, ...) with at least two channels; vectors are (B, D).
    """

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first ceil(C/2) channels, and the others."""
        if x.shape[1] < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; a partition of channels needs "
                "at least 2 of them, one to keep and one to change"
            )
        first, second = x.chunk(2, dim=1)
        return first, second

    def whole(self, first: Tensor, second: Tensor) -> Tensor:
        """Concatenate the channels."""
        return torch.cat([first, second], dim=1)


class Halves(Channels):
    """The first ceil(D/2) columns of a vector, and the others.

    Args:
        dim: Number of columns D, at least 2.
        swap: Keep the second half instead.

    Attributes:
        kept: Number of columns that are kept.
        changed: Number of columns that change.

    Raises:
        ValueError: If there are fewer than 2 columns.
    """

    def __init__(self, dim: int, swap: bool = False) -> None:
        super().__init__(swap)
        if dim < 2:
            raise ValueError(
                f"dim = {dim}: a coupling needs at least 2 columns, one to "
                "keep and one to change"
            )
        sizes = dim - dim // 2, dim // 2
        self.kept, self.changed = sizes[::-1] if swap else sizes


class Checkerboard(Partition):
    """Pixels with even i + j, and the others (Dinh et al., 2017, fig. 3).

    The network sees the picture (B, C, H, W) with zeros where it changes, and
    what it says of the other places is ignored.

    Shape:
        x: (B, C, H, W), W even. parts: (B, C, H, W/2).
    """

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels with even i + j, and the others."""
        if x.ndim != 4 or x.shape[3] % 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; a checkerboard needs pictures "
                "(B, C, H, W) of even width"
            )
        left, right = x.unflatten(3, (-1, 2)).unbind(4)
        return self._cross(left, right)

    def whole(self, first: Tensor, second: Tensor) -> Tensor:
        """Put the pixels back."""
        return torch.stack(self._cross(first, second), 4).flatten(3)

    def run(
        self, net: nn.Module, kept: Tensor, context: Tensor | None
    ) -> Tensor:
        """Show the kept pixels in their places."""
        picture = self.join(kept, torch.zeros_like(kept))
        return self.split(net(picture, context))[1]

    @staticmethod
    def _cross(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange a and b in every second row."""
        row = torch.arange(a.shape[2], device=a.device)[:, None]
        even = row % 2 == 0
        return torch.where(even, a, b), torch.where(even, b, a)


class PackedCheckerboard(Checkerboard):
    """The same parts; the network sees (B, C, H, W/2), half of the work.

    Ho et al. (2019) do so. Every second row is shifted by one pixel. A
    context picture is packed too: (B, 2 * C, H, W/2), the pixels of both
    parts in the channels.
    """

    def run(
        self, net: nn.Module, kept: Tensor, context: Tensor | None
    ) -> Tensor:
        """Show the kept pixels packed."""
        if context is not None and context.ndim == 4:
            context = torch.cat(self.split(context), dim=1)
        return net(kept, context)


class Coupling(Flow):
    """z1 = x1, z2 = map(x2; parameters = net(x1)), ladj = sum log dz2/dx2.

    Dinh et al. (2014, section 3.2) with an additive map, Dinh et al. (2017,
    section 3.2) with an affine one.

    Args:
        partition: What is x1, kept, and what x2.
        net: ``net(x1, context)`` returns P times the channels of x2, parameter
            after parameter. With outputs 0 the map is as it should start.
        conditional: The one-dimensional map of each value of x2.

    Shape:
        x: (B, D) or (B, C, H, W). context: a vector of each sample (B, W), or
        a picture, whose size may be a multiple of that of x: behind a
        :class:`~dgm_course.flows.multiscale.Squeeze` it is squeezed too.
    """

    start: Tensor

    def __init__(
        self, partition: Partition, net: nn.Module, conditional: Conditional
    ) -> None:
        super().__init__()
        self.partition = partition
        self.net = net
        self.conditional = conditional
        # not saved: the conditional fixes it
        start = with_values(conditional.start())
        self.register_buffer("start", start, persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Map one part, given the other."""
        kept, changed = self.partition.split(x)
        values = self.outputs(kept, changed, fold(context, x))
        z, slope = self.conditional.forward(changed, values)
        return self.partition.join(kept, z), slope.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Map it back: the network runs the same way as before."""
        kept, changed = self.partition.split(z)
        values = self.outputs(kept, changed, fold(context, z))
        x, slope = self.conditional.inverse(changed, values)
        return self.partition.join(kept, x), slope.flatten(1).sum(1)

    def outputs(
        self, kept: Tensor, changed: Tensor, context: Tensor | None
    ) -> Tensor:
        """Return the parameters of the map, ``(P, *shape of changed)``.

        Raises:
            ValueError: If the network returns another number of values.
        """
        raw = self.partition.run(self.net, kept, context)
        count = self.conditional.outputs
        wanted = (
            changed.shape[0],
            count * changed.shape[1],
            *changed.shape[2:],
        )
        if raw.shape != wanted:
            raise ValueError(
                f"the coupling's network returns {tuple(raw.shape)}; expected "
                f"{wanted}: {count} parameters for each value of the part "
                "that changes"
            )
        values = per_value(raw, count)
        return values + self.start.view(-1, *[1] * changed.ndim)


def fold(context: Tensor | None, x: Tensor) -> Tensor | None:
    """Bring a context picture to the size of x, pixels into channels.

    Args:
        context: (B, C, r H, r W); vectors and None are left alone.
        x: (B, ..., H, W).

    Returns:
        (B, r^2 C, H, W), in the order of
        :class:`~dgm_course.flows.multiscale.Squeeze` for r = 2.

    Raises:
        ValueError: If the size is no multiple of that of x.
    """
    if context is None or context.ndim != 4:
        return context
    size, wanted = context.shape[2:], x.shape[2:]
    ratio = size[0] // wanted[0] if x.ndim == 4 else 0
    if ratio < 1 or [*size] != [ratio * side for side in wanted]:
        raise ValueError(
            f"context has shape {tuple(context.shape)}, but x has "
            f"{tuple(x.shape)}; a context picture must be as large as x, or a "
            "whole number of times as large in both directions"
        )
    return F.pixel_unshuffle(context, ratio)
