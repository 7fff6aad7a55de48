"""Image Transformer: attention to the surroundings of a place.

Parmar, Vaswani, Uszkoreit, Kaiser, Shazeer, Ku and Tran, "Image Transformer",
2018, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..nn import Memory, TransformerBlock
from .places import ColourHead, Group, PlaceNet


class Blocks(NamedTuple):
    """Who attends to whom in a picture of T places, numbered row by row.

    Tensors on a device, or NumPy arrays for the host, which plans a drawing.

    Attributes:
        key: Where in its block each place stands, ``block * Q + offset``; it
            grows in the order in which places are drawn, (T,).
        queries: Places of each block, (blocks, Q).
        memory: Places that a block can attend to, (blocks, M).
        seen: Which of them each query attends to, (blocks, Q, M).
    """

    key: Any
    queries: Any
    memory: Any
    seen: Any

    def order(self) -> Any:
        """Return the places in the order in which they are drawn, (T,)."""
        return self.key.argsort()

    def visible(self) -> Tensor:
        """Return who attends to whom, both in the order of drawing, (T, T).

        Of tensors only.
        """
        order = self.order()
        count = self.seen.new_zeros(*self.seen.shape[:2], len(order)).long()
        places = self.memory[:, None].expand(self.seen.shape)
        seen = count.scatter_add(2, places, self.seen.long()) > 0
        return seen.flatten(0, 1)[self.key[order]][:, order]


def blocks_1d(
    height: int,
    width: int,
    query: int,
    memory: int,
    arange: Callable[..., Any] = np.arange,
) -> Blocks:
    """Cut the places, row by row, into blocks (figure 3, left).

    Args:
        height: Of the picture.
        width: Of the picture.
        query: Places Q of a block.
        memory: How many places before the block belong to its memory.
        arange: Makes the tensors or arrays.
    """
    key = arange(height * width)
    start = key[::query, None]
    queries = start + arange(query)
    reach = arange(-memory, query)
    return _checked(key, queries, start + reach, start + reach >= 0)


def blocks_2d(
    height: int,
    width: int,
    query: tuple[int, int],
    memory: tuple[int, int],
    arange: Callable[..., Any] = np.arange,
) -> Blocks:
    """Cut a picture into rectangles (figure 3, right).

    They are drawn one after the other, and each row by row.

    Args:
        height: Of the picture.
        width: Of the picture.
        query: Rows and columns of a block.
        memory: How many rows above it, and how many columns on either side,
            belong to its memory.
        arange: Makes the tensors or arrays.
    """
    (rows, columns), (above, beside) = query, memory
    across = -(-width // columns)  # blocks in a row
    i, j = arange(height)[:, None], arange(width)
    block = i // rows * across + j // columns
    key = block * rows * columns + i % rows * columns + j % columns

    def places(up: int, aside: int) -> tuple[Any, Any]:
        """A block with its surroundings, and which of that is there."""
        top = arange(0, height, rows)[:, None, None, None]
        left = arange(0, width, columns)[:, None, None]
        i = top + arange(-up, rows)[:, None]
        j = left + arange(-aside, columns + aside)
        there = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        size = (rows + up) * (columns + 2 * aside)
        return (i * width + j).reshape(-1, size), there.reshape(-1, size)

    return _checked(key.reshape(-1), places(0, 0)[0], *places(above, beside))


def _checked(key: Any, queries: Any, memory: Any, there: Any) -> Blocks:
    """Add who sees whom: a place sees itself and what is drawn before it."""
    last = len(key) - 1
    there = there & (memory <= last)
    queries, memory = queries.clip(0, last), memory.clip(0, last)
    earlier = key[memory][:, None] <= key[queries][..., None]
    seen = there[:, None] & earlier
    # blocks may reach beyond the picture; what such a query finds is read by
    # nobody, but it has to be a number
    seen = seen | ~seen.any(-1)[..., None]
    return Blocks(key, queries, memory, seen)


class ImageTransformer(PlaceNet):
    """Transformer blocks in which a place attends to its surroundings.

    The input of a place is what was drawn before it, with sines and cosines
    of its row and of its column. A place is a pixel with all its colours, which
    the last layers order; in the paper's model with a softmax each colour is a
    place of its own.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs, a multiple of C.
        width: Channels of the blocks, a multiple of 4 and of ``heads``.
        layers: Number of blocks.
        heads: Heads of the attention.
        query: Places of a block of queries in 1-D, or its rows and columns.
        memory: How far its memory reaches beyond it, see :func:`blocks_1d` and
            :func:`blocks_2d`.

    Raises:
        ValueError: If a number makes no sense.

    Shape:
        (B, C, H, W), any H and W, to (B, outputs, H, W).
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        query: int | tuple[int, int] = 112,
        memory: int | tuple[int, int] = 112,
    ) -> None:
        at_least(1, colours=colours, layers=layers)
        if isinstance(query, int) != isinstance(memory, int) or width % 4:
            raise ValueError(
                f"query = {query}, memory = {memory}, width = {width}; "
                "expected two numbers or two pairs, and a multiple of 4"
            )
        at_least(1, query=_least(query))
        at_least(0, memory=_least(memory))
        super().__init__(ColourHead(colours, width, outputs))
        self.query, self.memory = query, memory
        self.enter = nn.Linear(colours, width)
        self.blocks: Any = nn.ModuleList(
            TransformerBlock(width, heads) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def layout(
        self,
        height: int,
        width: int,
        arange: Callable[..., Any] = np.arange,
    ) -> Blocks:
        """Return who attends to whom; see :func:`blocks_1d`."""
        make: Any = blocks_1d if isinstance(self.query, int) else blocks_2d
        return make(height, width, self.query, self.memory, arange)

    def groups(self, height: int, width: int) -> list[Group]:
        """Return the places in the order in which they are drawn."""
        order = self.layout(height, width).order().tolist()
        places = [divmod(p, width) for p in order]
        return [(slice(i, i + 1), slice(j, j + 1)) for i, j in places]

    def places(self, y: Tensor) -> Tensor:
        """Run the blocks on all places."""
        height, width = y.shape[2:]
        arange = partial(torch.arange, device=y.device)
        layout = self.layout(height, width, arange)
        order = layout.order()
        late = delayed(y.flatten(2)[:, :, order])
        h = self.enter(late.transpose(1, 2)) + self._positions(y)[order]
        h = h[:, order.argsort()]
        for block in self.blocks:
            h = block(h, partial(local, blocks=layout))
        return self.norm(h).transpose(1, 2).unflatten(2, (height, width))

    def remember(self, y: Tensor) -> Callable[[int, int], Tensor]:
        """Keep keys and values of all places."""
        height, width = y.shape[2:]
        arange = partial(torch.arange, device=y.device)
        visible = self.layout(height, width, arange).visible()
        memories = [Memory(visible) for _ in self.blocks]
        positions = self._positions(y)
        # the host plans in which order places come
        order = self.layout(height, width).order()
        past, number = order.tolist(), order.argsort().tolist()

        def place(i: int, j: int) -> Tensor:
            here = i * width + j
            t = number[here]
            last = y.new_zeros(y.shape[:2])
            if t > 0:
                k, m = divmod(past[t - 1], width)
                last = y[:, :, k, m]
            h = (self.enter(last) + positions[here])[:, None]
            for one, memory in zip(self.blocks, memories):
                h = one(h, memory)
            return self.norm(h).transpose(1, 2)[..., None]

        return place

    def _positions(self, y: Tensor) -> Tensor:
        """Sines and cosines of row and column, (T, width)."""
        height, width = y.shape[2:]
        count = self.enter.out_features // 4
        steps = torch.arange(count, dtype=y.dtype, device=y.device)
        speed = (-steps * math.log(1000.0) / count).exp()

        def waves(length: int) -> Tensor:
            index = torch.arange(length, dtype=y.dtype, device=y.device)
            angle = index[:, None] * speed
            return torch.cat([angle.sin(), angle.cos()], 1)

        rows = waves(height)[:, None].expand(-1, width, -1)
        columns = waves(width).expand(height, -1, -1)
        return torch.cat([rows, columns], 2).flatten(0, 1)


def _least(sizes: int | tuple[int, int]) -> int:
    return sizes if isinstance(sizes, int) else min(sizes)


def delayed(x: Tensor) -> Tensor:
    """Give each place what the one before it holds: (B, C, T) to the same."""
    return F.pad(x[:, :, :-1], (1, 0))


def local(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks) -> Tensor:
    """Attend within blocks and their memories.

    Args:
        query: (B, heads, T, d), places row by row.
        key: Of the same shape.
        value: Of the same shape.
        blocks: Who attends to whom.

    Returns:
        What was found, of the same shape.
    """

    def cut(x: Tensor, places: Tensor) -> Tensor:
        """Blocks of places: (B heads, blocks, n, d)."""
        some = x.flatten(0, 1).index_select(1, places.flatten())
        return some.unflatten(1, places.shape)

    found = F.scaled_dot_product_attention(
        cut(query, blocks.queries),
        cut(key, blocks.memory),
        cut(value, blocks.memory),
        attn_mask=blocks.seen[None],
    )
    found = found.flatten(1, 2).index_select(1, blocks.key)
    return found.unflatten(0, query.shape[:2])
