"""Transformer blocks over sequences, which do not say who attends to whom."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# query, key and value, (..., heads, T, channels per head), to what was found
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Each place attends to itself and to all before it.

    Args:
        query: (..., heads, T, channels per head).
        key: Of the same shape.
        value: Of the same shape.
    """
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


class Memory:
    """Keys and values of all places so far: one place asks at a time.

    With one memory for each block, a sequence that is made place after place
    costs one place of the network per step, and nothing is computed twice.

    Args:
        visible: Which places a place attends to, (T, T); None for itself and
            all before it.
    """

    def __init__(self, visible: Tensor | None = None) -> None:
        self.visible = visible
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Append the new place, (B, heads, 1, d), and attend."""
        if self.key is not None and self.value is not None:
            key = torch.cat([self.key, key], dim=-2)
            value = torch.cat([self.value, value], dim=-2)
        self.key, self.value = key, value
        count, mask = key.shape[-2], None
        if self.visible is not None:
            mask = self.visible[count - 1 : count, :count]
        return F.scaled_dot_product_attention(query, key, value, mask)


class TransformerBlock(nn.Module):
    """x + attention, then x + a perceptron, each behind a normalization.

    Vaswani et al., "Attention Is All You Need", 2017, with the normalization
    first.

    Args:
        width: Channels of a place, a multiple of ``heads``.
        heads: Number of attention heads.

    Raises:
        ValueError: If the heads do not divide the width.

    Shape:
        (B, T, width) to the same.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        if heads < 1 or width < heads or width % heads:
            raise ValueError(
                f"width = {width} for {heads} heads; expected a multiple"
            )
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor, attend: Attend = causal) -> Tensor:
        """Add what is found, place by place.

        Args:
            x: (B, T, width).
            attend: Who sees whom: :func:`causal`, or a :class:`Memory`.
        """
        # (3, B, heads, T, channels per head)
        parts = self.inputs(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.movedim(2, 0).transpose(2, 3).contiguous()
        found = attend(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.output(found)
        return x + self.perceptron(x)
