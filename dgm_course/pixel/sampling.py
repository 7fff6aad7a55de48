"""Sampling without computing anything twice: the padding is the memory.

The naive loop evaluates the whole network for each sub-pixel, and keeps one
place of its output. But a causal convolution at place (i, j) needs its input
at a few places before (i, j), which were computed earlier, and at (i, j). So
a :class:`Stream` runs the layers of the network on that one place. Where a
layer pads its input with zeros, the stream puts what it remembers: a row
above, a column to the left. All other layers work place by place anyway.
(Ramachandran et al., "Fast Generation for Convolutional Autoregressive
Models", 2017.)
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# pictures in nested tuples: what one part of a network shows another
Shown = tuple[Any, ...]


class CausalNet(nn.Module, ABC):
    """A network that can be run row by row and place by place.

    What depends on the rows above alone is computed by :meth:`rows`, for a
    whole row at a time, and the rest by :meth:`columns`. Every layer that
    looks at neighbours is a ``ZeroPad2d`` and, behind it, a convolution that
    does not pad; a negative padding is a shift. What runs at half the
    resolution stands in a :class:`Half`.
    """

    def rows(self, y: Tensor, context: Tensor | None) -> Shown:
        """Return what is known of each row before it begins: here nothing.

        Pictures (B, ?, H, W), or smaller by a power of 2, in nested tuples.

        Raises:
            ValueError: If a context is given; there is none.
        """
        check_labels(context, y.shape[0], 0)
        return ()

    @abstractmethod
    def columns(self, y: Tensor, rows: Shown, context: Tensor | None) -> Tensor:
        """Return the parameters of all conditionals, (B, P, H, W).

        Args:
            y: The picture.
            rows: Result of :meth:`rows`.
            context: What the network is conditioned on.
        """

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to parameters (B, P, H, W)."""
        return self.columns(y, self.rows(y, context), context)

    def stream(self, y: Tensor, context: Tensor | None = None) -> Stream:
        """Return what computes the parameters at places of (B, C, H, W)."""
        return Stream(self, y, context)


class Half(nn.Module):
    """What runs at half the resolution, every other row and column.

    Args:
        shrink: Convolution of stride 2, on a picture that is padded.
        inside: ``inside(x, seen)`` returns a picture of the same size, and
            what it shows to another stack.
        grow: Layer from each place to 2 x 2 places.
    """

    def __init__(
        self, shrink: nn.Module, inside: nn.Module, grow: nn.Module
    ) -> None:
        super().__init__()
        self.shrink, self.inside, self.grow = shrink, inside, grow

    def forward(self, x: Tensor, seen: Shown) -> tuple[Tensor, Shown]:
        """Return a picture as large as x was, and what `inside` shows."""
        h, shown = self.inside(self.shrink(x), seen)
        return self.grow(h), shown


class Stream:
    """A causal network that runs place by place.

    It works on a copy of the network, in which masks are applied and weights
    normalized once and for all.

    Args:
        net: The network.
        y: Pictures (n, C, H, W) that the caller fills in: before it asks for
            a place, all places before it.
        context: What the network is conditioned on.
    """

    def __init__(
        self, net: CausalNet, y: Tensor, context: Tensor | None
    ) -> None:
        self.y, self.context = y, context
        self.row = 0
        self.column: int | None = None
        self.whole = True  # the first pass is over a whole picture
        self.net = copy.deepcopy(net).eval()
        self._remember(self.net)
        # it tells each memory how large it is
        self.net(y, context)
        self.whole = False
        self.known: Any = None

    def __call__(self, i: int, j: int) -> Tensor:
        """Return the parameters of place (i, j), (n, P, 1, 1).

        Places are asked for in raster order, each once or more.
        """
        self.row, self.column = i, None  # all columns at once
        if j == 0:
            self.known = self.net.rows(self.y[:, :, i : i + 1], self.context)
        self.column = j
        here = self.y[:, :, i : i + 1, j : j + 1]
        width = self.y.shape[-1]
        return self.net.columns(here, _at(self.known, j, width), self.context)

    def place(self, scale: int) -> tuple[int, int]:
        """Return where a picture that is smaller by this scale stands."""
        return self.row // scale, (self.column or 0) // scale

    def _remember(self, module: nn.Module) -> None:
        """Replace each padding by a memory, each convolution by a product."""
        for name, child in module.named_children():
            self._remember(child)
            if isinstance(child, nn.ZeroPad2d):
                looks = any(child.padding)  # else it sees its own place alone
                memory = _Memory(child, self) if looks else nn.Identity()
                setattr(module, name, memory)
            elif isinstance(child, Half):
                setattr(module, name, _Held(child, self))
            elif isinstance(child, nn.Conv2d):
                setattr(module, name, _Product(child))


class _Memory(nn.Module):
    """Takes a piece of a picture, returns it with what stands around it."""

    def __init__(self, pad: nn.ZeroPad2d, stream: Stream) -> None:
        super().__init__()
        # a tuple hides the stream, which has the network as its part
        self.pad, self.streams = pad.padding, (stream,)

    def forward(self, x: Tensor) -> Tensor:
        (stream,) = self.streams
        left, right, top, bottom = self.pad
        if stream.whole:
            self.is_entry = x is stream.y
            self.scale = stream.y.shape[-1] // x.shape[-1]
            around = left, max(right, 0), top, 0
            self.past = F.pad(torch.zeros_like(x), around)
            return F.pad(x, self.pad)
        i, j = stream.place(self.scale)
        if self.is_entry:
            # the rows so far: the last place was drawn after it was asked for
            low = max(i - 1, 0)
            end = left + stream.y.shape[-1]
            now = stream.y[:, :, low : i + 1]
            self.past[:, :, top + low : top + i + 1, left:end] = now
        else:
            end = left + j + x.shape[-1]
            self.past[:, :, top + i, left + j : end] = x[:, :, 0]
        width = left + x.shape[-1] + right
        return self.past[:, :, i : i + top + 1 + bottom, j : j + width]


class _Held(nn.Module):
    """Computes at every other place, and shows it at all."""

    def __init__(self, half: Half, stream: Stream) -> None:
        super().__init__()
        self.step, self.streams = half, (stream,)

    def forward(self, x: Tensor, seen: Shown) -> tuple[Tensor, Shown]:
        (stream,) = self.streams
        if stream.whole:
            found = self.step(x, seen)
            self.scale = stream.y.shape[-1] // found[0].shape[-1]
            self.grown, self.shown = found[0][:, :, :2].clone(), found[1]
            return found
        i, j = stream.place(self.scale)
        if i % 2 == j % 2 == 0:
            some, self.shown = self.step(x, seen)
            self.grown[..., j : j + some.shape[-1]] = some
        end = None if stream.column is None else j + 1
        return self.grown[:, :, i % 2 : i % 2 + 1, j:end], self.shown


class _Product(nn.Module):
    """A convolution, as one matrix product where it has one output."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        # what masks and normalizations make of it, once and for all
        weight = getattr(conv, "mask", 1.0) * conv.weight.detach()
        self.weight, self.flat = weight, weight.flatten(1)
        self.bias, self.stride = conv.bias, conv.stride

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != self.weight.shape[2:]:
            return F.conv2d(x, self.weight, self.bias, self.stride)
        return F.linear(x.flatten(1), self.flat, self.bias)[..., None, None]


def check_labels(context: Tensor | None, n: int, classes: int) -> None:
    """Refuse labels (n,) where there are none, and the other way round.

    Raises:
        ValueError: Naming what was given and what was expected.
    """
    shape = None if context is None else tuple(context.shape)
    if shape is not None and not classes:
        raise ValueError(f"context has shape {shape}; this network takes none")
    whole = context is not None and not context.is_floating_point()
    if classes and (shape != (n,) or not whole):
        raise ValueError(
            f"context has shape {shape}; expected ({n},) integers in "
            f"{{0, ..., {classes - 1}}}, the labels"
        )


def _at(known: Any, j: int, width: int) -> Any:
    """Cut column j out of rows, some of which are shorter than the picture."""
    if isinstance(known, Tensor):
        k = j * known.shape[-1] // width
        return known[..., k : k + 1]
    return tuple(_at(one, j, width) for one in known)
