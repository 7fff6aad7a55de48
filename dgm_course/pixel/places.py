"""Networks that see places, and colours at the very end; and their order.

Attention and recurrence look at a pixel as a whole: what they compute for a
place sees all colours of earlier places. That a colour sees those before it,
at its own place, is the task of the last two layers (chapter 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..profile import is_quiet
from .base import PixelModel, Step
from .pixelcnn import masked
from .sampling import check_labels

# rows and columns of the places that are drawn together
Group = tuple[slice, slice]


class ColourHead(nn.Module):
    """From what is known of a place to the parameters of its colours.

    Two layers 1x1; the masks "A" and "B" of PixelCNN let each colour see those
    before it, in a hidden layer too.

    Args:
        colours: Channels C of a picture.
        width: Channels of what is known.
        outputs: Number of outputs, a multiple of C.

    Shape:
        h: (B, width, ...), y: (B, C, ...), to (B, outputs, ...).
    """

    def __init__(self, colours: int, width: int, outputs: int) -> None:
        super().__init__()
        hidden = width + -width % colours
        self.known = nn.Conv2d(width, hidden, 1)
        self.colours: Any = None
        if colours > 1:
            self.colours = masked("A", colours, hidden, 1, colours)
        self.last = masked("B", hidden, outputs, 1, colours)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """Return the parameters of all colours of all places."""
        h = self.known(h)
        if self.colours is not None:
            h = h + self.colours(y)
        return self.last(F.elu(h))


class PlaceNet(nn.Module, ABC):
    """A network of two parts: ``places``, and a :class:`ColourHead`.

    A network that remembers overrides :meth:`remember`, and is then sampled
    from without computing anything twice.

    Args:
        head: The last two layers.
    """

    def __init__(self, head: ColourHead) -> None:
        super().__init__()
        self.head = head

    @abstractmethod
    def places(self, y: Tensor) -> Tensor:
        """Return what each place may know: (B, C, H, W) to (B, width, H, W).

        It sees the places before it, and not its own.
        """

    def remember(self, y: Tensor) -> Callable[[int, int], Tensor] | None:
        """Return :meth:`places` for one place after the other.

        Args:
            y: Pictures that are filled in: before a place is asked for, all
                places before it.

        Returns:
            A function from row and column to (B, width, 1, 1).
        """
        return None

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to parameters (B, P, H, W).

        Raises:
            ValueError: If a context is given; there is none.
        """
        check_labels(context, y.shape[0], 0)
        return self.head(self.places(y), y)

    def stream(
        self, y: Tensor, context: Tensor | None = None
    ) -> Callable[[int, int], Tensor]:
        """Return what gives the parameters of one place after another.

        Args:
            y: Pictures (B, C, H, W) that are filled in, see :meth:`remember`.
            context: None.
        """
        check_labels(context, y.shape[0], 0)
        place = self.remember(y) or self._forgetful(y)
        last: tuple[int, int] = (-1, -1)
        known = y

        def at(i: int, j: int) -> Tensor:
            nonlocal last, known
            if (i, j) != last:  # else another colour of the same place
                known, last = place(i, j), (i, j)
            return self.head(known, y[:, :, i : i + 1, j : j + 1])

        return at

    def _forgetful(self, y: Tensor) -> Callable[[int, int], Tensor]:
        return lambda i, j: self.places(y)[:, :, i : i + 1, j : j + 1]


class OrderedModel(PixelModel):
    """A model whose network says in which order places are drawn.

    Args:
        net: Besides what :class:`~dgm_course.pixel.PixelModel` asks for,
            ``net.groups(height, width)`` returns the groups of places in their
            order, and ``net.stream(y, context)`` a function from the first
            place of a group to its parameters, (B, P, rows, columns), given
            that y holds all groups before it.
        likelihood: As there, with independent channels.
        shape: As there.

    Raises:
        ValueError: If the likelihood is joint.
    """

    def order(self) -> Tensor:
        """Group after group, and in each colour by colour."""
        channels, *size = self.shape
        steps = torch.zeros(size, dtype=torch.long)
        for k, (rows, columns) in enumerate(self.net.groups(*size)):
            steps[rows, columns] = k
        return channels * steps + torch.arange(channels)[:, None, None]

    def steps(
        self,
        y: Tensor,
        rows: int = 0,
        context: Tensor | None = None,
        cached: bool = True,
        progress: bool = False,
    ) -> Iterator[Step]:
        """Go through the groups; no rows can be kept, as places follow later.

        Raises:
            ValueError: If rows are to be kept.
        """
        if rows:
            raise ValueError(
                f"rows = {rows}: this model does not draw row by row, and "
                "cannot complete a picture; expected 0"
            )
        channels, height, width = y.shape[1:]
        at = self.net.stream(y, context) if cached else None
        groups = self.net.groups(height, width)
        for row, column in tqdm(groups, disable=is_quiet(progress)):
            for c in range(channels):
                if at is None:
                    found = self.conditionals(y, context)
                    found = found[:, :, row, column]
                else:
                    found = at(row.start, column.start)
                own = found.unflatten(1, (-1, channels))[:, :, c]
                yield Step((slice(None), slice(c, c + 1), row, column), own)
