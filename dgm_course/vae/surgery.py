"""ELBO surgery: what the KL of a trained VAE consists of.

Hoffman and Johnson, "ELBO surgery: yet another way to carve up the
variational evidence lower bound", 2016. With i uniform over the n data
points and q(z) = (1/n) sum_i q(z|x_i),

    mean_i KL(q(z|x_i) || p(z)) = I[i, z] + KL(q(z) || p(z)).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..verify import mean_and_se
from .gaussians import Gaussians, log_normal
from .model import VAE
from .posteriors import DiagonalGaussian


class Codes(NamedTuple):
    """The posteriors q(z|x_i) of n data points.

    Attributes:
        mean: (n, d).
        log_std: (n, d).
    """

    mean: Tensor
    log_std: Tensor

    def sample(self) -> Tensor:
        """Draw one z from each posterior, (n, d)."""
        noise = torch.randn_like(self.mean)
        return self.mean + self.log_std.exp() * noise


class Surgery(NamedTuple):
    """The terms of the ELBO for n pairs (i, z), each (n,) in nats.

    The value of a term is the mean over the pairs. No identity holds pair by
    pair, so that :attr:`residual` is a test.

    Attributes:
        reconstruction: log p(x_i|z).
        kl: KL(q(z|x_i) || p(z)), in closed form or estimated with a z of its
            own.
        marginal_kl: log q(z) - log p(z).
        information: log n - H[q(i|z)]; always between 0 and log n.
        density_ratio: log q(z|x_i) - log q(z): the mutual information in its
            other form, with the same mean.
    """

    reconstruction: Tensor
    kl: Tensor
    marginal_kl: Tensor
    information: Tensor
    density_ratio: Tensor

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus KL, (n,)."""
        return self.reconstruction - self.kl

    @property
    def residual(self) -> Tensor:
        """KL - mutual information - marginal KL, (n,): 0 on average."""
        return self.kl - self.information - self.marginal_kl

    def summary(self) -> dict[str, tuple[float, float]]:
        """Return the mean and the standard error of each term, in nats.

        The error is that of n independent pairs (i, z). Since each i occurs
        once, it is an upper bound on the noise of z alone.
        """
        terms = self._asdict() | {"elbo": self.elbo, "residual": self.residual}
        return {name: mean_and_se(term) for name, term in terms.items()}


@torch.no_grad()
def encode_all(model: VAE, x: Tensor, batch_size: int = 1000) -> Codes:
    """Return the posteriors of all data points.

    Args:
        model: A VAE whose posterior is a diagonal Gaussian.
        x: Data (n, ...), as the likelihood takes them.
        batch_size: Data points encoded at once.
    """
    posterior = _gaussian(model)
    parts = [
        posterior.mean_and_log_std(model.encode(some))
        for some in x.split(batch_size)
    ]
    means, log_stds = zip(*parts)
    return Codes(torch.cat(means), torch.cat(log_stds))


@torch.no_grad()
def aggregated(
    z: Tensor, codes: Codes, memory: int = 64
) -> tuple[Tensor, Tensor]:
    """Evaluate q(z) and the entropy of q(i|z) exactly, over all n codes.

    Args:
        z: Points (N, d).
        codes: The n posteriors that q(z) is the mean of.
        memory: MiB for the n log-densities of the points at hand.

    Returns:
        log q(z) (N,) and H[q(i|z)] (N,), in nats, float64.
    """
    gaussians = Gaussians(*codes)
    # the results are allocated first: small tensors that outlive a chunk
    # would sit in the holes that chunks leave, and the heap would grow
    log_q, entropy = gaussians.bias.new_empty(2, len(z))
    rows = gaussians.rows(memory)
    for low in range(0, len(z), rows):
        here = slice(low, low + rows)
        pairs = gaussians.log_prob(z[here])
        largest = pairs.amax(1)
        # below e^-700 a double is no longer normal: several times slower
        pairs = pairs.sub_(largest[:, None]).clamp_(min=-700)
        weights = pairs.exp()
        total = weights.sum(1)
        log_q[here] = largest + total.log() - math.log(len(gaussians))
        # H = -sum_i w_i log w_i with w_i = exp(pairs_i) / total
        entropy[here] = total.log() - weights.mul_(pairs).sum(1) / total
    return log_q, entropy


@torch.no_grad()
def elbo_surgery(
    model: VAE, x: Tensor, batch_size: int = 1000, memory: int = 64
) -> Surgery:
    """Cut the ELBO of a VAE on n data points into its terms.

    q(z) is the mean over all n posteriors, nothing is subsampled: n^2
    log-densities are computed, in chunks (60,000 codes: under a minute on
    two cores).

    Args:
        model: A VAE whose posterior is a diagonal Gaussian.
        x: The data points that i counts, (n, ...).
        batch_size: Data points encoded and decoded at once.
        memory: MiB for the chunks of n densities.
    """
    codes = encode_all(model, x, batch_size)
    z = codes.sample()
    log_q, entropy = aggregated(z, codes, memory)
    log_p = torch.cat([model.prior.log_prob(p) for p in z.split(batch_size)])
    # parts() draws a z of its own: kl and log_p have no noise in common
    parts = [model.parts(some) for some in x.split(batch_size)]
    return Surgery(
        reconstruction=torch.cat([p.reconstruction for p in parts]),
        kl=torch.cat([p.kl for p in parts]),
        marginal_kl=log_q - log_p,
        information=math.log(len(x)) - entropy,
        density_ratio=log_normal(z, *codes) - log_q,
    )


@torch.no_grad()
def minibatch_information(
    codes: Codes, batch_size: int, method: str = "batch"
) -> tuple[float, float]:
    """Estimate I[i, z] with a q(z) that knows only the codes of a minibatch.

    Within a batch of M codes, q(z) at a z drawn from code i is estimated as
    a q(z|x_i) + b sum_{j != i} q(z|x_j).

    Args:
        codes: All n posteriors, in random order; the incomplete last batch
            is left out.
        batch_size: M.
        method: "batch", a = b = 1/M, never more than log M; "weighted",
            a = b = 1/(n M), which is larger by log n throughout (minibatch
            weighted sampling, Chen et al., 2018, equation S3); "stratified",
            a = 1/n and b = (n - 1) / (n (M - 1)), an unbiased estimate of
            q(z), too large an information by Jensen's inequality (Chen et
            al., 2018, appendix C.2, in its symmetric form).

    Returns:
        The estimate in nats and its standard error.

    Raises:
        ValueError: If there is no such method, or batch_size is not in
            2, ..., n.
    """
    n, m = len(codes.mean), batch_size
    if not 2 <= m <= n:
        raise ValueError(f"batch_size must lie in 2, ..., n = {n}, got {m}")
    weights = {
        "batch": (1 / m, 1 / m),
        "weighted": (1 / (n * m), 1 / (n * m)),
        "stratified": (1 / n, (n - 1) / (n * (m - 1))),
    }
    if method not in weights:
        raise ValueError(f"method = {method!r}; expected one of {[*weights]}")
    own, other = weights[method]
    log_weight = codes.mean.new_full((m, m), math.log(other))
    log_weight.fill_diagonal_(math.log(own))
    values = []
    for low in range(0, n - m + 1, m):
        batch = Codes(*(part[low : low + m] for part in codes))
        pairs = Gaussians(*batch).log_prob(batch.sample())
        values.append(pairs.diagonal() - (pairs + log_weight).logsumexp(1))
    return mean_and_se(torch.cat(values))


def _gaussian(model: VAE) -> DiagonalGaussian:
    if not isinstance(model.posterior, DiagonalGaussian):
        raise ValueError(
            f"the posterior is a {type(model.posterior).__name__}; the "
            "surgery needs q(z|x) at samples of other data points, which only "
            "a DiagonalGaussian offers here"
        )
    return model.posterior
