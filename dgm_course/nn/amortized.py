"""Parameters of a layer that may depend on a context, as in chapter 10."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Amortized(nn.Module):
    """A row of numbers: learned, or an affine function of a context.

    Args:
        start: What the numbers should be before training, whatever the
            context, (P,).
        sizes: How to cut them into parts; the sizes add up to P.
        context: Width of the context; 0 for numbers that are the same in
            every row.
    """

    def __init__(
        self, start: Tensor, sizes: Sequence[int], context: int = 0
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.width = context
        self.bias = nn.Parameter(start.clone())
        if context:
            self.weight = nn.Parameter(torch.zeros(len(start), context))

    def forward(self, rows: int, context: Tensor | None) -> tuple[Tensor, ...]:
        """Return the parts, (rows, size) each.

        Args:
            rows: Number of rows B.
            context: (B, width); None if, and only if, the width is 0.

        Raises:
            ValueError: If the context has another shape.
        """
        given = None if context is None else tuple(context.shape)
        wanted = (rows, self.width) if self.width else None
        if given != wanted:
            raise ValueError(
                f"context has shape {given}; this layer expects {wanted}"
            )
        values = self.bias.expand(rows, -1)
        if context is not None:
            values = values + context @ self.weight.T
        return values.split(self.sizes, 1)
