"""Diagonal Gaussians: their density, their KL, and all pairs at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_normal(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density of N(mean, diag(std^2)) at z, in nats: (B, d) to (B,)."""
    noise = (z - mean) * (-log_std).exp()
    constant = 0.5 * math.log(2 * math.pi)
    return -(0.5 * noise.square() + log_std + constant).sum(1)


def kl_to_standard_normal(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, diag(std^2)) || N(0, I)) in nats, for each dimension.

    Kingma and Welling (2014, appendix B). The KL of a data point is the
    *sum* over dimensions, not their mean.

    Args:
        mean: (B, d).
        log_std: (B, d).

    Returns:
        (B, d), each value non-negative.
    """
    return 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std


class Gaussians:
    """K diagonal Gaussians, to be evaluated at many points at once.

    A log-density of a diagonal Gaussian is linear in (z^2, z), so all N * K
    of them are one matrix product. Its terms are as large as (z / std)^2 and
    cancel: in float32 nats would be lost, in float64 (where the device has
    it) the error of a density in 20 dimensions stays below 5e-8 nats for
    means and points within 5 of 0 and std >= 0.01; for 30 and e^-7 it stays
    below 3e-4 nats.

    Args:
        mean: (K, d).
        log_std: (K, d).
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        mean, log_std = self._wide(mean), self._wide(log_std)
        precision = (-2 * log_std).exp()
        linear = mean * precision
        constant = 0.5 * math.log(2 * math.pi)
        self.weights = torch.cat([-0.5 * precision, linear], dim=1).T
        self.bias = -(0.5 * mean * linear + log_std + constant).sum(1)

    def __len__(self) -> int:
        return len(self.bias)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of each point under each Gaussian, in nats.

        Args:
            z: Points (N, d).

        Returns:
            (N, K), float64.
        """
        z = self._wide(z)
        statistics = torch.cat([z.square(), z], dim=1)
        return torch.addmm(self.bias, statistics, self.weights)

    def rows(self, memory: int) -> int:
        """How many points to take at once, so that ``memory`` MiB suffice.

        Three numbers of 8 bytes per pair: the log-density, its exponential,
        and a copy in between.
        """
        return max(1, memory * 2**20 // (24 * len(self)))

    @staticmethod
    def _wide(x: Tensor) -> Tensor:
        # Apple's GPUs have no float64
        return x if x.device.type == "mps" else x.double()
