"""PixelSNAIL: gated residual blocks, and attention to all earlier places.

Chen, Mishra, Rohaninejad and Abbeel, "PixelSNAIL: An Improved Autoregressive
Generative Model", 2018.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..nn import causal
from ..nn.attention import coordinates
from ..nn.residual import GatedResidual, concat_elu, normed
from .pixelcnnpp import RIGHT, convolution
from .sampling import CausalNet, Shown, Stream


class Surroundings(nn.Module):
    """What attention is told of a place besides its features.

    The pixel before it, row by row, and its row and column: a place may
    attend to itself, since it does not hold its own pixel. (In the paper a
    place holds its own pixel, and only later places attend to it: the same
    pixels are seen, but the first place has nothing to attend to.)
    """

    def forward(self, y: Tensor) -> Tensor:
        """Map pictures (B, C, H, W) to (B, C + 2, H, W)."""
        late = F.pad(y.flatten(2)[..., :-1], (1, 0)).view(y.shape)
        return torch.cat([late, coordinates(y)], 1)


class Seen(nn.Module):
    """Each place attends to itself and to all before it, row by row."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend: pictures (B, channels, H, W) to one of them."""
        parts = (as_sequence(x) for x in (query, key, value))
        return causal(*parts)[:, 0].transpose(1, 2).view(query.shape)


def as_sequence(x: Tensor) -> Tensor:
    """Write places row by row: (B, channels, H, W) to (B, 1, H W, channels)."""
    return x.flatten(2).transpose(1, 2)[:, None].contiguous()


class AttentionBlock(nn.Module):
    """Residual blocks, then attention, then a block that merges both.

    Keys and values see the features and the surroundings of a place, queries
    its features and its row and column (figure 2).

    Args:
        colours: Channels C of a picture.
        channels: Channels of the features.
        keys: Channels of queries, keys and values.
        residuals: Number of residual blocks.
        dropout: Share of hidden values that are dropped in training.
    """

    def __init__(
        self,
        colours: int,
        channels: int,
        keys: int,
        residuals: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(
            GatedResidual(channels, 0, dropout, partial(convolution, pad=RIGHT))
            for _ in range(residuals)
        )
        self.query = normed(channels + 2, keys, 1)
        self.content = normed(channels + colours + 2, 2 * keys, 1)
        self.seen = Seen()
        self.merge = GatedResidual(
            channels, keys, dropout, partial(normed, size=1)
        )

    def forward(self, h: Tensor, around: Tensor) -> Tensor:
        """Look at neighbours, then at all earlier places: (B, C, H, W)."""
        for residual in self.residuals:
            h = residual(h)
        query = self.query(torch.cat([h, around[:, -2:]], 1))
        key, value = self.content(torch.cat([h, around], 1)).chunk(2, dim=1)
        return self.merge(h, self.seen(query, key, value))


class PixelSNAIL(CausalNet):
    """Causal convolutions of 2x2 for what is near, attention for the rest.

    For a joint likelihood such as
    :class:`~dgm_course.likelihoods.ColourLogistics`.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs.
        channels: Channels of the features.
        keys: Channels of queries, keys and values.
        blocks: Number of :class:`AttentionBlock`.
        residuals: Residual blocks in each.
        dropout: Share of hidden values that are dropped in training.

    Raises:
        ValueError: If a number is below 1.

    Shape:
        (B, C, H, W), any H and W, to (B, outputs, H, W).
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        channels: int = 52,
        keys: int = 16,
        blocks: int = 2,
        residuals: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, channels=channels, keys=keys)
        at_least(1, blocks=blocks, residuals=residuals)
        # the row above, and what is left of a place in both rows
        self.above = convolution(colours, channels, (1, 1, 1, -1))
        self.left = convolution(colours, channels, (1, -1, 1, 0))
        self.around = Surroundings()
        self.blocks: Any = nn.ModuleList(
            AttentionBlock(colours, channels, keys, residuals, dropout)
            for _ in range(blocks)
        )
        self.last = normed(2 * channels, outputs, 1)

    def columns(self, y: Tensor, rows: Shown, context: Tensor | None) -> Tensor:
        """Run all blocks."""
        around = self.around(y)
        h = self.above(y) + self.left(y)
        for block in self.blocks:
            h = block(h, around)
        return self.last(concat_elu(h))

    def stream(self, y: Tensor, context: Tensor | None = None) -> Stream:
        """Return what computes the parameters of one place after another."""
        return AttentiveStream(self, y, context)


class AttentiveStream(Stream):
    """A stream that keeps keys and values too."""

    def _remember(self, module: nn.Module) -> None:
        super()._remember(module)
        for name, child in module.named_children():
            if isinstance(child, Surroundings):
                setattr(module, name, _SurroundingsHere(child, self))
            elif isinstance(child, Seen):
                setattr(module, name, _SeenSoFar(child, self))


class _SurroundingsHere(nn.Module):
    """What surrounds the place of the stream."""

    def __init__(self, whole: Surroundings, stream: Stream) -> None:
        super().__init__()
        self.whole, self.streams = whole, (stream,)

    def forward(self, y: Tensor) -> Tensor:
        (stream,) = self.streams
        if stream.whole:
            self.places = coordinates(y)
            return self.whole(y)
        i, j = stream.place(1)
        width = stream.y.shape[-1]
        before = i * width + j - 1
        late = torch.zeros_like(y)
        if before >= 0:
            k, m = divmod(before, width)
            late = stream.y[:, :, k : k + 1, m : m + 1]
        here = self.places[:, :, i : i + 1, j : j + 1]
        return torch.cat([late, here], 1)


class _SeenSoFar(nn.Module):
    """Keys and values of all places so far."""

    def __init__(self, whole: Seen, stream: Stream) -> None:
        super().__init__()
        self.whole, self.streams = whole, (stream,)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        (stream,) = self.streams
        if stream.whole:
            self.key, self.value = as_sequence(key), as_sequence(value)
            return self.whole(query, key, value)
        i, j = stream.place(1)
        t = i * stream.y.shape[-1] + j
        # a place that is asked for twice is written twice
        self.key[:, 0, t] = key[..., 0, 0]
        self.value[:, 0, t] = value[..., 0, 0]
        found = F.scaled_dot_product_attention(
            as_sequence(query),
            self.key[:, :, : t + 1],
            self.value[:, :, : t + 1],
        )
        return found.view(query.shape)
