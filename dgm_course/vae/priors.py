"""Priors p(z) that are mixtures of K Gaussians with equal weights.

The other priors of the course need no code here: N(0, I) is
:class:`dgm_course.flows.StandardNormal`, and a flow prior is any
:class:`dgm_course.flows.FlowModel` with d dimensions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..limits import at_least
from ..nn import bounded
from .gaussians import Gaussians
from .posteriors import DiagonalGaussian


class GaussianMixture(nn.Module, ABC):
    """p(z) = (1/K) sum_k N(z | mean_k, diag(std_k^2)).

    Attributes:
        memory: MiB for the log-densities under all components (without
            gradients, which keep all of them).
    """

    memory = 64

    @abstractmethod
    def components(self) -> tuple[Tensor, Tensor]:
        """Return means and log-scales, (K, d) each."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: (B, d) to (B,)."""
        gaussians = Gaussians(*self.components())
        values, rows = torch.empty_like(z[:, 0]), gaussians.rows(self.memory)
        for low in range(0, len(z), rows):
            here = slice(low, low + rows)
            values[here] = gaussians.log_prob(z[here]).logsumexp(1)
        return values - math.log(len(gaussians))

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw (n, d); each component's scale times ``temperature``."""
        mean, log_std = self.components()
        which = torch.randint(len(mean), (n,), device=mean.device)
        noise = torch.randn_like(mean[which])
        return mean[which] + temperature * log_std[which].exp() * noise


class MixtureOfGaussians(GaussianMixture):
    """Means and scales are parameters; the means start as draws of N(0, I).

    Nalisnick et al. (2016); Dilokthanakul et al. (2016).

    Args:
        dim: Number of latent dimensions d.
        components: Number of Gaussians K.
        std: Where each scale starts, above e^-7 and below e^7.

    Raises:
        ValueError: If there is no component or dimension, or ``std`` lies
            elsewhere.
    """

    bound = 7.0

    def __init__(self, dim: int, components: int, std: float = 0.5) -> None:
        super().__init__()
        at_least(1, dim=dim, components=components)
        if not math.exp(-self.bound) < std < math.exp(self.bound):
            raise ValueError(
                f"std = {std}; expected a number between e^-{self.bound:g} "
                f"and e^{self.bound:g}"
            )
        self.mean = nn.Parameter(torch.randn(components, dim))
        raw = self.bound * math.atanh(math.log(std) / self.bound)
        self.raw = nn.Parameter(torch.full((components, dim), raw))

    def components(self) -> tuple[Tensor, Tensor]:
        """Return means and bounded log-scales, (K, d) each."""
        return self.mean, bounded(self.raw, self.bound)


class VampPrior(GaussianMixture):
    """p(z) = (1/K) sum_k q(z|u_k), with K learned pseudo-inputs u_k.

    Tomczak and Welling (2018, equation 9). A sigmoid keeps the pseudo-inputs
    in the range of pixels, and lets gradients through everywhere.

    Args:
        encoder: The encoder of the VAE; it is used, not owned: its weights
            belong to the VAE and appear once in the state_dict.
        posterior: The posterior of the VAE.
        start: Where the pseudo-inputs start, (K, ...), values in [0, 1], such
            as binary pictures of the training set.

    Raises:
        ValueError: If ``start`` leaves [0, 1].
    """

    def __init__(
        self, encoder: nn.Module, posterior: DiagonalGaussian, start: Tensor
    ) -> None:
        super().__init__()
        if not 0 <= start.min() <= start.max() <= 1:
            raise ValueError(
                f"pseudo-inputs start from {start.min():g} to "
                f"{start.max():g}; expected values in [0, 1]"
            )
        # inside a tuple, the encoder is no submodule of the prior
        self._encode = (encoder, posterior)
        inner = start.to(torch.get_default_dtype()).clamp(0.02, 0.98)
        self.logits = nn.Parameter(torch.logit(inner))

    @property
    def pseudo_inputs(self) -> Tensor:
        """The pseudo-inputs u_k, (K, ...), values in (0, 1)."""
        return torch.sigmoid(self.logits)

    def components(self) -> tuple[Tensor, Tensor]:
        """Return means and log-scales of q(z|u_k), (K, d) each."""
        encoder, posterior = self._encode
        return posterior.mean_and_log_std(encoder(self.pseudo_inputs))


class AggregatedPosterior(GaussianMixture):
    """q(z) = (1/n) sum_i q(z|x_i), exactly, over n given posteriors.

    The prior that maximizes the ELBO on these n data points (Hoffman and
    Johnson, 2016); each evaluation costs n densities.

    Args:
        mean: (n, d).
        log_std: (n, d).
    """

    mean: Tensor
    log_std: Tensor

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.detach())
        self.register_buffer("log_std", log_std.detach())

    def components(self) -> tuple[Tensor, Tensor]:
        """Return the means and log-scales that were given, (n, d) each."""
        return self.mean, self.log_std
