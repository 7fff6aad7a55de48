"""Convolutions that keep the size of a picture, and a small network of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ..limits import at_least


def conv(
    inputs: int,
    outputs: int,
    size: int = 3,
    weight_norm: bool = False,
    zero: bool = False,
) -> nn.Conv2d:
    """Return a convolution with padding: (B, inputs, H, W) to outputs.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        size: Height and width of the kernel, odd.
        weight_norm: Learn length and direction of each kernel apart
            (Salimans and Kingma, "Weight Normalization", 2016).
        zero: Start with all-zero outputs.

    Raises:
        ValueError: If the kernel's size is even: it has no middle.
    """
    if size % 2 == 0:
        raise ValueError(f"size = {size}: expected an odd number")
    layer: Any = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    scale = layer.weight
    if weight_norm:
        parametrizations.weight_norm(layer)
        scale = layer.parametrizations.weight.original0  # the lengths
    if zero:
        nn.init.zeros_(scale)
        nn.init.zeros_(layer.bias)
    return layer


class ConvNet(nn.Sequential):
    """Convolutions 3x3, 1x1 and 3x3 with ReLUs between them.

    The network of Glow's couplings (Kingma and Dhariwal, 2018, appendix B).

    Args:
        inputs: Channels of the input.
        hidden: Channels of the two hidden layers.
        outputs: Channels of the output, which starts at zero.
        context: Channels of a context that is appended to the input.

    Raises:
        ValueError: If there are no hidden channels.

    Shape:
        (B, inputs, H, W) and, where ``context > 0``, (B, context, H, W) or
        (B, context) to (B, outputs, H, W).
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, context: int = 0
    ) -> None:
        at_least(1, hidden=hidden)
        super().__init__(
            conv(inputs + context, hidden),
            nn.ReLU(),
            conv(hidden, hidden, 1),
            nn.ReLU(),
            conv(hidden, outputs, zero=True),
        )
        self.context = context

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map a picture, with its context, to a picture."""
        context = as_picture(context, x, self.context)
        if context is not None:
            x = torch.cat([x, context], dim=1)
        return super().forward(x)


def as_picture(
    context: Tensor | None, x: Tensor, channels: int
) -> Tensor | None:
    """Put a context vector at each place of x.

    Args:
        context: (B, channels), or a picture, which is left alone.
        x: (B, C, H, W).
        channels: What the network was built for; 0 for no context.

    Returns:
        (B, channels, H, W), or None.

    Raises:
        ValueError: If the context has other channels, or is missing.
    """
    given = 0 if context is None else context.shape[1]
    if given != channels:
        shape = None if context is None else tuple(context.shape)
        raise ValueError(
            f"context has shape {shape}; this network expects {channels} "
            "channels" + ("" if channels else ", that is, none")
        )
    if context is None or context.ndim == 4:
        return context
    return context[:, :, None, None].expand(-1, -1, *x.shape[2:])
