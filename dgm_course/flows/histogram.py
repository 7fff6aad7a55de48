"""A table of frequencies as a flow: the first layer for dequantized pixels.

Chapter 1 shows why it helps: no later layer has to learn where grey is rare.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Flow, WithLadj


class Histogram(Flow):
    """z = Phi^{-1}(F_d(x_d)), F_d the distribution function of a histogram.

    With N(0, 1) noise and nothing else each column has its own histogram,
    a density that is constant on [k, k + 1): the score of the discrete model
    is that of the table of frequencies. Layers that follow start from there.
    Nothing is trained.

    Both tails are summed apart, so that z is exact where F rounds to 1.

    Args:
        counts: How often each integer 0, ..., L - 1 occurred in each column,
            (D, L); add a little to all, so that none is impossible.

    Raises:
        ValueError: If a count is not positive.
    """

    log_p: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        if counts.ndim != 2 or not bool((counts > 0).all()):
            raise ValueError(
                f"counts of shape {tuple(counts.shape)} with the minimum "
                f"{counts.min().item():g}; expected positive numbers (D, L): "
                "add 0.1 to all, for instance"
            )
        log_p = counts.double().log().log_softmax(1)
        self.register_buffer("log_p", log_p.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Distribution function of the table, then normal quantile."""
        log_p, below, above = self._tables()
        levels = log_p.shape[1]
        k = x.detach().floor().clamp(0, levels - 1)
        # x + u may be rounded to an edge, whose quantile is infinite
        half = torch.finfo(x.dtype).eps / 2
        u = (x - k).clamp(half, 1 - half)
        log_p, below, above = (_pick(t, k) for t in (log_p, below, above))
        p = log_p.exp()
        z = _quantile(below + p * u, above + p * (1 - u))
        return z, (log_p + 0.5 * (z.square() + math.log(2 * math.pi))).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Normal distribution function, then the quantile of the table."""
        log_p, below, above = self._tables()
        left, right = torch.special.ndtr(z), torch.special.ndtr(-z)
        # how many levels lie below, counted from the smaller of the two tails
        k = torch.zeros_like(z)
        for lower, upper in zip(below.T[1:], above.T[:-1]):
            k += torch.where(z < 0, left >= lower, right <= upper)
        log_p, below, above = (_pick(t, k) for t in (log_p, below, above))
        p = log_p.exp()
        u = torch.where(z < 0, (left - below) / p, 1 - (right - above) / p)
        log_phi = -0.5 * (z.square() + math.log(2 * math.pi))
        return k + u, (log_phi - log_p).sum(1)

    def _tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of each level, mass below and above, (D, L) each.

        Normalized here, since stored weights are rounded.
        """
        log_p = self.log_p.log_softmax(1)
        p = log_p.exp().double()
        below = (p.cumsum(1) - p).clamp(min=0)
        above = (p.flip(1).cumsum(1).flip(1) - p).clamp(min=0)
        return log_p, below.to(log_p), above.to(log_p)


def _pick(table: Tensor, k: Tensor) -> Tensor:
    """Entry k[b, d] of row d of a table, (B, D)."""
    return table.gather(1, k.long().T).T


def _quantile(below: Tensor, above: Tensor) -> Tensor:
    """Phi^{-1}(below), from the smaller of the two tails."""
    z = torch.special.ndtri(torch.minimum(below, above))
    return torch.where(below < above, z, -z)
