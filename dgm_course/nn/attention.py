"""Self-attention between the places of a picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import conv


class SelfAttention(nn.Module):
    """x + gated attention of every place to every place.

    Vaswani et al. (2017) with the positions as two more channels (Chen et
    al., "PixelSNAIL", 2018) and a gate behind (Ho et al., "Flow++", 2019,
    section 3.3). Starts as the identity.

    Args:
        channels: Channels of the picture, a multiple of ``heads``.
        heads: Number of attention heads.
        causal: A place attends to itself and to those before it in raster
            order (row by row), and to no other.

    Raises:
        ValueError: If the heads do not divide the channels.

    Shape:
        (B, channels, H, W) to the same; any H and W.
    """

    def __init__(
        self, channels: int, heads: int = 4, causal: bool = False
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(
                f"channels = {channels} for {heads} heads; expected a multiple"
            )
        self.heads = heads
        self.causal = causal
        self.inputs = conv(channels + 2, 3 * channels, 1)
        self.gate = conv(channels, 2 * channels, 1, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place what it attends to."""
        seen = torch.cat([x, coordinates(x)], dim=1)
        # (3, B, heads, H W, channels per head)
        parts = self.inputs(seen).flatten(2).unflatten(1, (3, self.heads, -1))
        # a copy: on a CPU attention is three times slower across strides
        query, key, value = parts.movedim(1, 0).transpose(-1, -2).contiguous()
        found = F.scaled_dot_product_attention(
            query, key, value, is_causal=self.causal
        )
        found = found.transpose(-1, -2).flatten(1, 2).unflatten(2, x.shape[2:])
        return x + F.glu(self.gate(found), dim=1)


def coordinates(x: Tensor) -> Tensor:
    """Return row and column of each place, in (-1, 1): (B, 2, H, W)."""
    n, _, height, width = x.shape

    def middles(count: int) -> Tensor:
        index = torch.arange(count, dtype=x.dtype, device=x.device)
        return (2 * index + 1) / count - 1

    row = middles(height)[:, None].expand(height, width)
    column = middles(width).expand(height, width)
    return torch.stack([row, column]).expand(n, -1, -1, -1)
