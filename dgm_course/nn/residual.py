"""Gated residual blocks, and the network that Flow++ makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from .attention import SelfAttention
from .conv import as_picture, conv

normed = partial(conv, weight_norm=True)


def concat_elu(x: Tensor) -> Tensor:
    """ELU of x and of -x: (B, C, ...) to (B, 2 C, ...)."""
    return F.elu(torch.cat([x, -x], dim=1))


class GatedResidual(nn.Module):
    """x + a * sigmoid(b), where a and b are computed from x by two layers.

    The block of PixelCNN++ (Salimans et al., 2017) and of Flow++ (Ho et al.,
    2019, section 3.3), with weight normalization. Starts as the identity.

    Args:
        channels: Channels of the picture.
        context: Channels of an optional context, added after the first layer.
        dropout: Share of hidden values that are dropped in training.
        convolution: ``convolution(inputs, outputs)`` makes the layer that
            looks at neighbours; a causal one makes the block causal.

    Shape:
        (B, channels, H, W) and, where ``context > 0``, (B, context, H, W) or
        (B, context) to (B, channels, H, W).
    """

    def __init__(
        self,
        channels: int,
        context: int = 0,
        dropout: float = 0.0,
        convolution: Callable[[int, int], nn.Module] = normed,
    ) -> None:
        super().__init__()
        self.first = convolution(2 * channels, channels)
        self.width = context
        if context:
            self.context = normed(2 * context, channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.last = normed(2 * channels, 2 * channels, 1, zero=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Add what the block computes."""
        h = self.first(concat_elu(x))
        context = as_picture(context, x, self.width)
        if context is not None:
            h = h + self.context(concat_elu(context))
        h = self.dropout(concat_elu(h))
        return x + F.glu(self.last(h), dim=1)


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each place (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each place."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GatedNet(nn.Module):
    """Gated blocks and attention in turn, each followed by a normalization.

    The network of Flow++'s couplings (Ho et al., 2019, section 3.3).

    Args:
        inputs: Channels of the input.
        channels: Channels of the blocks.
        outputs: Channels of the output, which starts at zero.
        blocks: Number of blocks.
        context: Channels of an optional context, which every block sees.
        heads: Heads of the attention after each block; 0 for none.
        dropout: Share of hidden values that are dropped in training.

    Raises:
        ValueError: If there are no channels or blocks.

    Shape:
        As :class:`~dgm_course.nn.conv.ConvNet`.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        outputs: int,
        blocks: int,
        context: int = 0,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, blocks=blocks)
        at_least(0, heads=heads)
        self.first = normed(inputs, channels)
        layers: list[nn.Module] = []
        for _ in range(blocks):
            layers.append(GatedResidual(channels, context, dropout))
            layers.append(ChannelNorm(channels))
            if heads:
                layers.append(SelfAttention(channels, heads))
                layers.append(ChannelNorm(channels))
        self.layers = nn.ModuleList(layers)
        self.last = normed(2 * channels, outputs, zero=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W), with its context, to (B, outputs, H, W)."""
        h = self.first(x)
        for layer in self.layers:
            seen = (context,) if isinstance(layer, GatedResidual) else ()
            h = layer(h, *seen)
        return self.last(concat_elu(h))
