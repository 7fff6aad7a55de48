"""A latent-variable model so small that every expectation is a sum.

The terms of ELBO surgery (chapter 8) are computed on it without an error bar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiscreteVAE:
    """n data points, m latent states; all probabilities stand in tables.

    Attributes:
        posterior: q(z|x_i), (n, m), rows sum to 1.
        prior: p(z), (m,), sums to 1.
        likelihood: p(x_i|z), (n, m).
    """

    posterior: Tensor
    prior: Tensor
    likelihood: Tensor

    @classmethod
    def random(
        cls, n: int, m: int, seed: int, sharpness: float = 1.0
    ) -> DiscreteVAE:
        """Draw tables at random, float64.

        Args:
            n: Number of data points.
            m: Number of latent states.
            seed: Fixes the tables.
            sharpness: Scale of the logits: small is near uniform, large
                near deterministic.
        """
        generator = torch.Generator().manual_seed(seed)

        def logits(*shape: int) -> Tensor:
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            return sharpness * noise

        return cls(
            logits(n, m).softmax(1),
            logits(m).softmax(0),
            logits(n, m).softmax(0),
        )

    def with_prior(self, prior: Tensor) -> DiscreteVAE:
        """Return the same encoder and decoder with another prior."""
        return replace(self, prior=prior)

    @property
    def aggregated(self) -> Tensor:
        """q(z) = (1/n) sum_i q(z|x_i), (m,)."""
        return self.posterior.mean(0)

    @property
    def log_likelihood(self) -> Tensor:
        """Log p(x_i) in nats, (n,)."""
        return (self.likelihood * self.prior).sum(1).log()

    @property
    def reconstruction(self) -> Tensor:
        """E_q log p(x_i|z) in nats, (n,)."""
        return torch.xlogy(self.posterior, self.likelihood).sum(1)

    @property
    def negative_energy(self) -> Tensor:
        """E_q log p(x_i, z) in nats, (n,)."""
        joint = self.likelihood * self.prior
        return torch.xlogy(self.posterior, joint).sum(1)

    @property
    def entropy(self) -> Tensor:
        """H[q(z|x_i)] in nats, (n,)."""
        return _entropy(self.posterior)

    @property
    def kl(self) -> Tensor:
        """KL(q(z|x_i) || p(z)) in nats, (n,)."""
        return _kl(self.posterior, self.prior)

    @property
    def posterior_gap(self) -> Tensor:
        """KL(q(z|x_i) || p(z|x_i)) in nats, (n,): log p(x_i) - ELBO."""
        joint = self.likelihood * self.prior
        return _kl(self.posterior, joint / joint.sum(1, keepdim=True))

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus KL, in nats, (n,)."""
        return self.reconstruction - self.kl

    @property
    def marginal_kl(self) -> Tensor:
        """KL(q(z) || p(z)) in nats, a scalar."""
        return _kl(self.aggregated, self.prior)

    @property
    def index_entropy(self) -> Tensor:
        """E_q(z) H[q(i|z)] in nats, a scalar."""
        index = self.posterior / self.posterior.sum(0)  # q(i|z), by columns
        return (self.aggregated * _entropy(index.T)).sum()

    @property
    def information(self) -> Tensor:
        """I[i, z] = mean_i KL(q(z|x_i) || q(z)) in nats, a scalar."""
        return _kl(self.posterior, self.aggregated).mean()


def _kl(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


def _entropy(q: Tensor) -> Tensor:
    return -torch.xlogy(q, q).sum(-1)
