"""The variational autoencoder: a latent-variable model and its bound.

Kingma and Welling, "Auto-encoding variational Bayes", 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..flows import StandardNormal
from ..likelihoods import Bernoulli
from ..nn import MLP
from .posteriors import DiagonalGaussian, Posterior


class Prior(Protocol):
    """What a VAE asks of p(z): every ``Base`` and ``FlowModel`` has it."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: (B, d) to (B,)."""

    def sample(self, n: int, *, temperature: float) -> Tensor:
        """Draw (n, d) samples."""


class Parts(NamedTuple):
    """The two terms of the ELBO, in nats.

    Attributes:
        reconstruction: E_q log p(x|z), estimated with one z, (B,).
        kl_groups: KL(q(z|x) || p(z)), (B, G): for each dimension where it is
            known in closed form, else one estimate of the whole, G = 1.
    """

    reconstruction: Tensor
    kl_groups: Tensor

    @property
    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)) in nats, (B,): the sum over dimensions."""
        return self.kl_groups.sum(1)

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus KL, in nats, (B,)."""
        return self.reconstruction - self.kl


class VAE(nn.Module):
    """p(x) = integral of p(x|z) p(z), with the help of a posterior q(z|x).

    Args:
        encoder: Maps x, as floating-point numbers, to (B, posterior.inputs).
        decoder: Maps z (B, d) to the parameters of the likelihood.
        posterior: q(z|x).
        prior: p(z): anything with ``log_prob(z)`` and
            ``sample(n, temperature=...)``; N(0, I) for None.
        likelihood: p(x|z), given the decoder's output.

    Raises:
        ValueError: If prior and posterior differ in their dimensions.
    """

    zero: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: Posterior,
        prior: Prior | None = None,
        likelihood: Bernoulli | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.prior = StandardNormal(posterior.dim) if prior is None else prior
        base = getattr(self.prior, "base", self.prior)
        dim = getattr(base, "dim", posterior.dim)
        if dim != posterior.dim:
            raise ValueError(
                f"the prior has {dim} dimensions, the posterior "
                f"{posterior.dim}; they are densities of the same z"
            )
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        # pixels take their dtype from here
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """What the posterior needs to know of x: (B, posterior.inputs)."""
        return self.encoder(x.to(self.zero.dtype))

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of p(x|z): for pixels, the probability of a 1."""
        return self.likelihood.mean(self.decoder(z))

    def parts(self, x: Tensor, analytic: bool = True) -> Parts:
        """Estimate the two terms of the ELBO with one sample of z.

        Args:
            x: Data (B, ...) as the likelihood takes them.
            analytic: Use the closed form of the KL where there is one (a
                diagonal Gaussian against N(0, I)): same mean, less noise.
        """
        h = self.encode(x)
        z, log_q = self.posterior.rsample_and_log_prob(h)
        reconstruction = self.likelihood.log_prob(x, self.decoder(z))
        normal = isinstance(self.prior, StandardNormal)
        if analytic and normal and isinstance(self.posterior, DiagonalGaussian):
            return Parts(
                reconstruction, self.posterior.kl_to_standard_normal(h)
            )
        return Parts(reconstruction, (log_q - self.prior.log_prob(z))[:, None])

    def elbo(self, x: Tensor) -> Tensor:
        """One-sample lower bound on log p(x) in nats, (B,)."""
        return self.parts(x).elbo

    def iw_bound(self, x: Tensor, k: int, chunk: int = 64) -> Tensor:
        """Importance-weighted bound with k samples of z, in nats, (B,).

        log (1/k) sum_j p(x|z_j) p(z_j) / q(z_j|x): not below the ELBO on
        average, not decreasing in k, and log p(x) in the limit (Burda et
        al., 2016, theorem 1).

        Args:
            x: Data (B, ...).
            k: Number of samples per data point.
            chunk: Samples per data point held in memory at once.

        Raises:
            ValueError: If k or chunk is below 1.
        """
        if k < 1 or chunk < 1:
            raise ValueError(
                f"k and chunk must be at least 1, got k = {k}, chunk = {chunk}"
            )
        h, total = self.encode(x), self.zero.new_full((x.shape[0],), -math.inf)
        for done in range(0, k, chunk):
            m = min(chunk, k - done)
            weights = self._log_weights(
                x.repeat_interleave(m, 0), h.repeat_interleave(m, 0)
            )
            part = weights.view(x.shape[0], m).logsumexp(1)
            total = torch.logaddexp(total, part)
        return total - math.log(k)

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw n samples of x, with the prior at a temperature."""
        z = self.prior.sample(n, temperature=temperature)
        return self.likelihood.sample(self.decoder(z))

    def _log_weights(self, x: Tensor, h: Tensor) -> Tensor:
        z, log_q = self.posterior.rsample_and_log_prob(h)
        log_p = self.likelihood.log_prob(x, self.decoder(z))
        return log_p + self.prior.log_prob(z) - log_q


def mlp_vae(
    latents: int,
    prior: Prior | None = None,
    hidden: Sequence[int] = (400, 400),
    shape: Sequence[int] = (1, 28, 28),
) -> VAE:
    """Assemble a VAE of two multilayer perceptrons for binary pictures.

    Their activation is SiLU (Hendrycks and Gimpel, 2016), which is smooth and
    fits binary digits in fewer epochs than ReLU.

    Args:
        latents: Number of latent dimensions d.
        prior: p(z); N(0, I) for None.
        hidden: Widths of the encoder; the decoder has them turned round.
        shape: Shape of one picture.
    """
    pixels, posterior = math.prod(shape), DiagonalGaussian(latents)
    mlp = partial(MLP, activation=nn.SiLU)
    encoder = nn.Sequential(nn.Flatten(), mlp(pixels, hidden, posterior.inputs))
    decoder = nn.Sequential(
        mlp(latents, hidden[::-1], pixels), nn.Unflatten(1, tuple(shape))
    )
    return VAE(encoder, decoder, posterior, prior)
