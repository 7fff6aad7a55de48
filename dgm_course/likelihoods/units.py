"""What a number in nats means: the one place that divides by log 2.

Chapter 1 explains the unit, bits per dimension.
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

Number = TypeVar("Number", float, Tensor)


def bits_per_dim(nats: Number, dims: int) -> Number:
    """Turn a log-likelihood in nats into bits per dimension.

    Args:
        nats: Log-likelihood (or a lower bound of it) of one object, in nats;
            for data in {0, ..., 255} it must be the likelihood of the
            integers, with the log-determinant of all preprocessing included.
        dims: Number of dimensions D of the object (3 * 32 * 32 for CIFAR-10).

    Returns:
        ``-nats / (D log 2)``: the code length per dimension; 8 for the
        uniform distribution over bytes.

    Raises:
        ValueError: If ``dims`` is not positive.

    Example:
        >>> bits_per_dim(-784 * math.log(256), 784)
        8.0
    """
    if dims <= 0:
        raise ValueError(f"dims must be positive, got {dims}")
    return -nats / (dims * math.log(2))
