"""From a density to a discrete model, and back.

A flow has a density p(y); pixels are integers. The discrete model of a flow
is P(x) = integral of p(x + u) over the unit cube. It is bounded from below
by noise u ~ q(u|x): log P(x) >= E_q[log p(x + u) - log q(u|x)].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .flows import FlowModel


class Dequantizer(nn.Module, ABC):
    """A distribution q(u|x) of noise in the unit cube."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw u of the shape of x in [0, 1), with log q(u|x) in nats, (B,).

        ``x`` holds integers as a floating-point tensor (B, ...).
        """


class Uniform(Dequantizer):
    """u ~ U[0, 1) in each dimension independently, so log q(u|x) = 0."""

    def forward(self, x):
        """Draw u of the shape of x, and zeros (B,)."""
        return torch.rand_like(x), x.new_zeros(len(x))


class Dequantized(nn.Module):
    """The discrete model P(x) of a density p(y), known through its bounds.

    Theis et al. (2016, section 3.1) for uniform noise, Ho et al. (2019,
    section 3.1) for any q(u|x).

    Args:
        model: A density over y in R^D; its own preprocessing, with the
            log-determinant, is part of it.
        dequantizer: The distribution of the noise.
    """

    def __init__(
        self, model: FlowModel, dequantizer: Dequantizer | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.dequantizer = Uniform() if dequantizer is None else dequantizer

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """One-sample lower bound on log P(x) in nats, (B,).

        Args:
            x: Integers (B, ...), such as uint8 pixels.
            context: Passed on to the density.

        Raises:
            ValueError: If x holds floating-point values.
        """
        x = self._as_float(x)
        u, log_q = self.dequantizer(x)
        return self.model.log_prob(x + u, context) - log_q

    def iw_bound(
        self, x: Tensor, k: int, context: Tensor | None = None
    ) -> Tensor:
        """Importance-weighted bound with k samples of u, in nats, (B,).

        log (1/k) sum_j p(x + u_j) / q(u_j|x): not below the ELBO on average,
        not decreasing in k, and log P(x) in the limit (Burda et al., 2016).

        Raises:
            ValueError: If k < 1, or x holds floating-point values.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        bounds = torch.stack([self.elbo(x, context) for _ in range(k)])
        return bounds.logsumexp(0) - math.log(k)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw y from the density and return the integers floor(y)."""
        return self.model.sample(n, context, temperature).floor().long()

    def _as_float(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            raise ValueError(
                f"x holds {x.dtype} values; a discrete model takes integers "
                "(for pixels already scaled to [0, 1]: multiply by 255, "
                "round, and convert to torch.uint8)"
            )
        return x.to(self.model.base.zero.dtype)
