"""A multilayer perceptron, the conditioner of the flows of chapter 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..limits import at_least


class MLP(nn.Sequential):
    """Linear layers with an activation between them.

    Args:
        inputs: Width of the input.
        hidden: Widths of the hidden layers; empty for a linear map.
        outputs: Width of the output.
        context: Width of a context vector that is appended to the input.
        activation: Module class put after each hidden layer.
        zero: Start with all-zero outputs, so that a coupling layer built on
            this network starts as the identity map.

    Raises:
        ValueError: If a width is below 1, or that of the context below 0.

    Shape:
        (B, inputs) and, where ``context > 0``, (B, context) to (B, outputs).
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        context: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
        zero: bool = False,
    ) -> None:
        at_least(1, hidden=min(hidden, default=1))
        at_least(0, context=context)
        widths = [inputs + context, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), activation()]
        last = nn.Linear(widths[-1], outputs)
        if zero:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        super().__init__(*layers, last)
        self.inputs, self.context = inputs, context

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map ``x`` (B, inputs), with its context, to (B, outputs).

        Raises:
            ValueError: If x or its context has another width.
        """
        width = 0 if context is None else context.shape[-1]
        if (x.shape[-1], width) != (self.inputs, self.context):
            raise ValueError(
                f"x has {x.shape[-1]} columns and its context {width}; this "
                f"network expects {self.inputs} and {self.context}"
            )
        if context is not None:
            x = torch.cat([x, context], dim=1)
        return super().forward(x)
