"""The two tables that every score of a code looks at, in chapter 11.

One row per picture: its code, the means of q(z|x), and its factors, integer
levels that are independent of each other. Means are asked for, since noise
that a decoder never relies on would be held against the code; a unit whose
mean hardly moves is *dead* and counts as constant, else its last digits would
be read as information.
"""

from __future__ import annotations

import torch
from torch import Tensor

DEAD = 0.05  # variance of a mean over the data; that of the prior is 1


def alive(codes: Tensor, dead: float = DEAD) -> Tensor:
    """Which units are used: their means vary by more than ``dead``, (d,)."""
    return codes.var(0, correction=0) > dead


def tables(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes in float64, dead units at 0, and levels counted from 0.

    Args:
        codes: (n, d).
        factors: (n, K).

    Raises:
        ValueError: If they are no such tables, or codes are not finite.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(
            f"codes have shape {tuple(codes.shape)}, factors "
            f"{tuple(factors.shape)}; expected (n, d) and (n, K), one row of "
            "each for a picture"
        )
    codes = codes.detach().cpu().double()
    if not codes.isfinite().all():
        raise ValueError("codes hold values that are not finite")
    return codes * alive(codes), levels_of(factors)


def levels_of(factors: Tensor) -> Tensor:
    """Return the levels of each factor, counted from 0, (n, K).

    Raises:
        ValueError: If they are no integers, or a factor has one level only.
    """
    if factors.is_floating_point():
        raise ValueError(
            f"factors are {factors.dtype}; expected integers, the levels"
        )
    levels = torch.stack(
        [
            column.unique(return_inverse=True)[1]
            for column in factors.detach().cpu().unbind(1)
        ],
        1,
    )
    constant = (levels.amax(0) == 0).nonzero().flatten().tolist()
    if constant:
        raise ValueError(
            f"columns {constant} of the factors have one level only: nothing "
            "can be said of them; leave them out"
        )
    return levels
