"""Multiscale PixelCNN: groups of pixels drawn at once, each on all before it.

Reed, van den Oord, Kalchbrenner, Gomez Colmenarejo, Wang, Chen, Belov and de
Freitas, "Parallel Multiscale Autoregressive Density Estimation", 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..nn.residual import GatedResidual, concat_elu, normed
from .places import ColourHead, Group
from .sampling import check_labels

# the pixels of each block of 2x2, in the order in which they are drawn: the
# first one is the picture of half the size (figure 2)
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


class Corner(nn.Module):
    """What the pixels of one corner of all blocks may know of the others.

    Args:
        inputs: Channels of the corners before it, together.
        channels: Channels of the blocks.
        width: Channels of the output.
        blocks: Number of gated residual blocks.

    Shape:
        (B, inputs, H / 2, W / 2) to (B, width, H / 2, W / 2).
    """

    def __init__(
        self, inputs: int, channels: int, width: int, blocks: int
    ) -> None:
        super().__init__()
        self.first = normed(inputs, channels)
        self.blocks = nn.ModuleList(
            GatedResidual(channels) for _ in range(blocks)
        )
        self.last = normed(2 * channels, width, 1)

    def forward(self, known: Tensor) -> Tensor:
        """Look at the surroundings in all corners before this one."""
        h = self.first(known)
        for block in self.blocks:
            h = block(h)
        return self.last(concat_elu(h))


class Multiscale(nn.Module):
    """From one pixel to the whole picture, doubled again and again.

    A picture of half the size holds one pixel of each block of 2x2; the other
    three follow one after the other, each for all blocks at once. A picture of
    N pixels takes 1 + 3 log2(side) steps. (The paper begins with a PixelCNN on
    4x4 pixels instead of one pixel, and its stronger networks run a shallow
    PixelCNN inside of patches.) Within a step pixels are independent,
    given all steps before, but for the colours of each.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs, a multiple of C.
        channels: Of the blocks, for each doubling, the coarsest first; n
            doublings are enough for sides up to 2**n.
        width: Channels that the last two layers, shared by all steps, see.
        blocks: Residual blocks of each network.

    Raises:
        ValueError: If a number is below 1.

    Shape:
        (B, C, H, W) to (B, outputs, H, W); H and W at most 2**n.
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        channels: Sequence[int] = (8, 8, 16, 24, 28),
        width: int = 32,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, width=width, blocks=blocks)
        self.first = nn.Parameter(0.1 * torch.randn(width, 1, 1))
        self.levels: Any = nn.ModuleList(
            nn.ModuleList(
                Corner(k * colours, one, width, blocks) for k in (1, 2, 3)
            )
            for one in channels
        )
        self.head = ColourHead(colours, width, outputs)

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the parameters of all conditionals.

        Raises:
            ValueError: If the picture is too large, or a context is given.
        """
        check_labels(context, y.shape[0], 0)
        height, width = y.shape[2:]
        index = torch.arange(height * width, device=y.device)
        picture, found, places = index.view(height, width), [], []
        for level, k, there in self._steps(height, width):
            found.append(self._corner(y, level, k).flatten(2))
            places.append(picture[there].flatten())
        undo = torch.cat(places).argsort()
        whole = torch.cat(found, 2).index_select(2, undo)
        return whole.unflatten(2, (height, width))

    def groups(self, height: int, width: int) -> list[Group]:
        """Return the groups of places that are drawn together, in order."""
        return [there for _, _, there in self._steps(height, width)]

    def stream(
        self, y: Tensor, context: Tensor | None = None
    ) -> Callable[[int, int], Tensor]:
        """Return what gives the parameters of a group, by its first place.

        Args:
            y: Pictures that are filled in: before a group is asked for, all
                groups before it.
            context: None.
        """
        check_labels(context, y.shape[0], 0)
        steps = {
            (rows.start, columns.start): (level, k)
            for level, k, (rows, columns) in self._steps(*y.shape[2:])
        }

        def at(i: int, j: int) -> Tensor:
            return self._corner(y, *steps[i, j])

        return at

    def _steps(
        self, height: int, width: int
    ) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """Yield level, number of the corner, and its places, step by step.

        Raises:
            ValueError: If the picture is too large.
        """
        most = 2 ** len(self.levels)
        if max(height, width) > most:
            raise ValueError(
                f"pictures of {height}x{width} are too large for "
                f"{len(self.levels)} doublings; expected sides up to {most}"
            )
        yield 0, 0, (slice(0, None, most), slice(0, None, most))
        for level in range(len(self.levels)):
            stride = most >> level
            for k, (row, column) in enumerate(CORNERS):
                i, j = row * stride // 2, column * stride // 2
                if k > 0 and i < height and j < width:
                    there = slice(i, None, stride), slice(j, None, stride)
                    yield level, k, there

    def _corner(self, y: Tensor, level: int, k: int) -> Tensor:
        """Return the parameters of one corner at one level."""
        stride = 2 ** len(self.levels) >> level
        if k == 0:
            y = y[:, :, :1, :1]
            return self.head(self.first.expand(y.shape[0], -1, -1, -1), y)
        coarse = y[:, :, :: stride // 2, :: stride // 2]
        corners = [coarse[:, :, i::2, j::2] for i, j in CORNERS]
        # sides may be odd: then the last blocks have a corner or two
        height, width = corners[0].shape[2:]
        known = [
            F.pad(c, (0, width - c.shape[3], 0, height - c.shape[2]))
            for c in corners[:k]
        ]
        h = self.levels[level][k - 1](torch.cat(known, 1))
        own = corners[k]
        return self.head(h[:, :, : own.shape[2], : own.shape[3]], own)
