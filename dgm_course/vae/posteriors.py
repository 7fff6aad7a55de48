"""Variational posteriors q(z|x), given what the encoder says about x."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..nn import bounded
from .gaussians import kl_to_standard_normal, log_normal


class Posterior(nn.Module, ABC):
    """A distribution q(z|x) that knows the density of its own samples.

    Attributes:
        dim: Number of latent dimensions d.
        inputs: Width of the encoder's output that it takes.
    """

    dim: int
    inputs: int

    @abstractmethod
    def rsample_and_log_prob(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draw one differentiable z per row, and log q(z|x) in nats.

        Args:
            h: Output of the encoder, (B, inputs).

        Returns:
            z (B, d) and log q(z|x) (B,).
        """


class DiagonalGaussian(Posterior):
    """q(z|x) = N(mean(x), diag(std(x)^2)) (Kingma and Welling, 2014).

    The log-scale is bounded, ``bound * tanh(raw / bound)``: no posterior
    becomes narrower than e^-7, and no sample overflows.

    Args:
        dim: Number of latent dimensions d.

    Raises:
        ValueError: If there are none.
    """

    bound = 7.0

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim
        self.inputs = 2 * dim

    def mean_and_log_std(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Split the encoder's output into mean and log-scale, (B, d) each."""
        mean, raw = h.chunk(2, dim=1)
        return mean, bounded(raw, self.bound)

    def rsample_and_log_prob(self, h):
        """Draw z = mean + std * noise, and log q(z|x) in nats."""
        mean, log_std = self.mean_and_log_std(h)
        z = mean + log_std.exp() * torch.randn_like(mean)
        return z, log_normal(z, mean, log_std)

    def kl_to_standard_normal(self, h: Tensor) -> Tensor:
        """KL(q(z|x) || N(0, I)) in nats for each dimension, (B, d)."""
        return kl_to_standard_normal(*self.mean_and_log_std(h))
