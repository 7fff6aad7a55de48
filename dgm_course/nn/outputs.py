"""What the outputs of a network are read as, from chapter 1 on."""

from __future__ import annotations

import torch
from torch import Tensor


def bounded(raw: Tensor, bound: float) -> Tensor:
    """Return ``bound * tanh(raw / bound)``: raw itself where it is small.

    For log-scales: no input of a network can make their exponential overflow.

    Args:
        raw: Any shape.
        bound: Largest absolute value of the result.
    """
    return bound * torch.tanh(raw / bound)


def per_value(raw: Tensor, count: int) -> Tensor:
    """Read channels as ``count`` parameters of each value.

    Args:
        raw: (B, count * C, ...), parameter after parameter.
        count: Number of parameters of a value.

    Returns:
        (count, B, C, ...), a view.

    Raises:
        ValueError: If the channels do not come in that many parts.
    """
    if raw.ndim < 2 or raw.shape[1] % count:
        raise ValueError(
            f"the network's output has shape {tuple(raw.shape)}; expected "
            f"(B, {count} * C, ...), {count} parameters for each value"
        )
    return raw.unflatten(1, (count, -1)).movedim(1, 0)
