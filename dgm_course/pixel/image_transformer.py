"""Image Transformer: attention to the surroundings of a place.

Parmar, Vaswani, Uszkoreit, Kaiser, Shazeer, Ku and Tran, "Image Transformer",
2018, section 3.3.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..nn import Memory, TransformerBlock
from .places import ColourHead, Group, PlaceNet


class Blocks(NamedTuple):
    """Who attends to whom in a picture of T places, numbered row by row.

    Attributes:
        key: Where in its block each place stands, ``block * Q + offset``; it
            grows in the order in which places are drawn, (T,).
        queries: Places of each block, (blocks, Q).
        memory: Places that a block can attend to, (blocks, M).
        seen: Which of them each query attends to, (blocks, Q, M).
    """

    key: Tensor
    queries: Tensor
    memory: Tensor
    seen: Tensor

    def order(self) -> Tensor:
        """Return the places in the order in which they are drawn, (T,)."""
        return self.key.argsort()


def blocks_1d(
    height: int, width: int, query: int, memory: int, device: Any = None
) -> Blocks:
    """Cut the places, row by row, into blocks (figure 3, left).

    Args:
        height: Of the picture.
        width: Of the picture.
        query: Places Q of a block.
        memory: How many places before the block belong to its memory.
        device: Where the tensors are made.
    """
    key = torch.arange(height * width, device=device)
    start = key[::query, None]
    queries = start + torch.arange(query, device=device)
    reach = torch.arange(-memory, query, device=device)
    return _checked(key, queries, start + reach, start + reach >= 0)


def blocks_2d(
    height: int,
    width: int,
    query: tuple[int, int],
    memory: tuple[int, int],
    device: Any = None,
) -> Blocks:
    """Cut a picture into rectangles (figure 3, right).

    They are drawn one after the other, and each row by row.

    Args:
        height: Of the picture.
        width: Of the picture.
        query: Rows and columns of a block.
        memory: How many rows above it, and how many columns on either side,
            belong to its memory.
        device: Where the tensors are made.
    """
    arange = partial(torch.arange, device=device)
    (rows, columns), (above, beside) = query, memory
    across = -(-width // columns)  # blocks in a row
    i, j = arange(height)[:, None], arange(width)
    block = i // rows * across + j // columns
    key = block * rows * columns + i % rows * columns + j % columns

    def places(up: int, aside: int) -> tuple[Tensor, Tensor]:
        """A block with its surroundings, and which of that is there."""
        top = arange(0, height, rows)[:, None, None, None]
        left = arange(0, width, columns)[:, None, None]
        i = top + arange(-up, rows)[:, None]
        j = left + arange(-aside, columns + aside)
        there = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        index = i * width + j
        return index.flatten(0, 1).flatten(1), there.flatten(0, 1).flatten(1)

    return _checked(key.flatten(), places(0, 0)[0], *places(above, beside))


def _checked(
    key: Tensor, queries: Tensor, memory: Tensor, there: Tensor
) -> Blocks:
    """Add who sees whom: a place sees itself and what is drawn before it."""
    last = len(key) - 1
    there = there & (memory <= last)
    queries, memory = queries.clamp(0, last), memory.clamp(0, last)
    earlier = key[memory][:, None] <= key[queries][..., None]
    seen = there[:, None] & earlier
    # blocks may reach beyond the picture; what such a query finds is read by
    # nobody, but it has to be a number
    seen = seen | ~seen.any(-1, keepdim=True)
    return Blocks(key, queries, memory, seen)


class ImageTransformer(PlaceNet):
    """Transformer blocks in which a place attends to its surroundings.

    The input of a place is what was drawn before it, with sines and cosines
    of its row and of its column.

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
        super().__init__(ColourHead(colours, width, outputs))
        self.query, self.memory = query, memory
        self.enter = nn.Linear(colours, width)
        self.blocks: Any = nn.ModuleList(
            TransformerBlock(width, heads) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def layout(self, height: int, width: int, device: Any = None) -> Blocks:
        """Return who attends to whom."""
        make: Any = blocks_1d if isinstance(self.query, int) else blocks_2d
        return make(height, width, self.query, self.memory, device)

    def groups(self, height: int, width: int) -> list[Group]:
        """Return the places in the order in which they are drawn."""
        order = self.layout(height, width).order().tolist()
        return [([p // width], [p % width]) for p in order]

    def places(self, y):
        """Run the blocks on all places."""
        height, width = y.shape[2:]
        layout = self.layout(height, width, y.device)
        order = layout.order()
        late = delayed(y.flatten(2)[:, :, order])
        h = self.enter(late.transpose(1, 2)) + self._positions(y)[order]
        h = h[:, order.argsort()]
        for block in self.blocks:
            h = block(h, partial(local, blocks=layout))
        return self.norm(h).transpose(1, 2).unflatten(2, (height, width))

    def remember(self, y):
        """Keep keys and values of all places."""
        height, width = y.shape[2:]
        layout = self.layout(height, width, y.device)
        order, positions = layout.order(), self._positions(y)
        rank = order.argsort()
        block, offset = (
            f(layout.key[order], layout.queries.shape[1])
            for f in (torch.floor_divide, torch.remainder)
        )
        visible = [
            rank[layout.memory[b][layout.seen[b, o]]]
            for b, o in zip(block, offset)
        ]
        memories = [Memory(visible) for _ in self.blocks]
        past = order.tolist()

        def place(i: int, j: int) -> Tensor:
            here = i * width + j
            t = int(rank[here])
            last = y.new_zeros(y.shape[:2])
            if t > 0:
                last = y[:, :, past[t - 1] // width, past[t - 1] % width]
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
