"""beta-TCVAE: the KL in three terms, of which one is punished.

Chen, Li, Grosse and Duvenaud, "Isolating sources of disentanglement in
variational autoencoders", 2018. With i uniform over the n data points,

    mean_i KL(q(z|x_i) || p(z)) = I[i, z] + KL(q(z) || prod_j q(z_j))
                                  + sum_j KL(q(z_j) || p(z_j)),

equation (2) there. The second term, the total correlation, is zero where the
units are independent of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..vae import VAE, Codes, DiagonalGaussian, aggregated, log_normal


class Decomposition(NamedTuple):
    """The terms of the KL at N samples z, each (N,) in nats, float64.

    The value of a term is the mean over the samples.

    Attributes:
        information: I[i, z], as log n - H[q(i|z)].
        total_correlation: log q(z) - sum_j log q(z_j).
        dimension_kl: sum_j (log q(z_j) - log p(z_j)).
    """

    information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor

    @property
    def marginal_kl(self) -> Tensor:
        """Return log q(z) - log p(z), (N,): the last two terms together."""
        return self.total_correlation + self.dimension_kl


@torch.no_grad()
def decompose(codes: Codes, points: int = 2000) -> Decomposition:
    """Cut the KL of diagonal Gaussians against N(0, I) into three terms.

    q(z) and each q(z_j) are means over all n codes; z is drawn from randomly
    chosen ones. The cost is n * points * (d + 1) log-densities.

    Args:
        codes: All n posteriors.
        points: Number N of samples of z, at most n.
    """
    n, d = codes.mean.shape
    rows = torch.randperm(n, device=codes.mean.device)[:points]
    z = Codes(*(part[rows] for part in codes)).sample()
    log_q, entropy = aggregated(z, codes)
    units = [
        aggregated(z[:, [j]], Codes(*(part[:, [j]] for part in codes)))[0]
        for j in range(d)
    ]
    log_q_units = torch.stack(units).sum(0)
    zero = torch.zeros_like(z)
    return Decomposition(
        information=math.log(n) - entropy,
        total_correlation=log_q - log_q_units,
        dimension_kl=log_q_units - log_normal(z, zero, zero),
    )


def weighted_log_q(z: Tensor, codes: Codes, n: int) -> tuple[Tensor, Tensor]:
    """Estimate log q(z) and the sum of log q(z_j) from a minibatch.

    Minibatch-weighted sampling (Chen et al., 2018, appendix C.1): q(z) is
    replaced by 1 / (n M) sum_m q(z|x_m) over the M codes at hand. That is
    never more than q(z) / M, and 1/n of it where all codes are equal, which
    is off by log n for each logarithm. What it is made for is its gradient.

    Args:
        z: One sample from each code of the batch, (M, d).
        codes: The M posteriors of the batch.
        n: Number of data points.

    Returns:
        Both estimates in nats, (M,) each.
    """
    noise = (z[:, None] - codes.mean) * (-codes.log_std).exp()
    constant = 0.5 * math.log(2 * math.pi)
    pairs = -0.5 * noise.square() - codes.log_std - constant  # (M, M, d)
    log_weight = -math.log(n * len(z))
    joint = pairs.sum(2).logsumexp(1) + log_weight
    return joint, (pairs.logsumexp(1) + log_weight).sum(1)


@dataclass(frozen=True)
class TCObjective:
    """A loss for :func:`dgm_course.training.fit`: that of the beta-TCVAE.

    -ELBO + (beta - 1) * total correlation, so the mutual information and the
    KL of each unit keep their weight of 1. The total correlation is estimated
    by :func:`weighted_log_q`; the ELBO needs no estimate of q(z). A model in
    evaluation mode gets the plain negative ELBO.

    Attributes:
        n: Number of data points.
        beta: Weight of the total correlation; 1 is the VAE.
    """

    n: int
    beta: float = 1.0

    def __call__(self, model: VAE, batch: Tensor, step: int) -> Tensor:
        """Return the loss in nats, one value per sample, (B,).

        Raises:
            ValueError: If the posterior is no diagonal Gaussian.
        """
        if not model.training:
            return -model.elbo(batch)
        posterior = model.posterior
        if not isinstance(posterior, DiagonalGaussian):
            raise ValueError(
                f"the posterior is a {type(posterior).__name__}; the total "
                "correlation needs q(z|x) at samples of other data points, "
                "which only a DiagonalGaussian offers here"
            )
        h = model.encode(batch)
        codes = Codes(*posterior.mean_and_log_std(h))
        z = codes.sample()
        reconstruction = model.likelihood.log_prob(batch, model.decoder(z))
        kl = posterior.kl_to_standard_normal(h).sum(1)
        joint, units = weighted_log_q(z, codes, self.n)
        return kl + (self.beta - 1) * (joint - units) - reconstruction
