"""Densities that fit on a page: exact log_prob, exact samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Density2d(NamedTuple):
    """A normalized density on the plane.

    Attributes:
        name: What it is called in figures.
        sample: ``sample(n)`` draws (n, 2) points with torch's global seed.
        log_prob: Maps points (N, 2) to log-densities in nats, (N,).
        box: The mass outside [-box, box]^2 is negligible for a figure.
    """

    name: str
    sample: Callable[[int], Tensor]
    log_prob: Callable[[Tensor], Tensor]
    box: float


def eight_gaussians(radius: float = 2.8, sigma: float = 0.35) -> Density2d:
    """Eight Gaussians on a circle: many modes.

    Args:
        radius: Radius of the circle.
        sigma: Standard deviation of each Gaussian.
    """
    angle = torch.arange(8) * (math.pi / 4)
    means = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return _mixture("eight Gaussians", means, sigma, box=4.5)


def two_moons(sigma: float = 0.2, points: int = 64) -> Density2d:
    """Two half circles blurred by Gaussian noise.

    A mixture of ``points`` Gaussians along each half circle: unlike the usual
    generator it has an exact density.

    Args:
        sigma: Standard deviation of the noise.
        points: Gaussians per half circle.
    """
    t = (torch.arange(points) + 0.5) * (math.pi / points)
    upper = torch.stack([t.cos() - 0.5, t.sin() - 0.25], 1)
    lower = torch.stack([0.5 - t.cos(), 0.25 - t.sin()], 1)
    return _mixture("two moons", 2 * torch.cat([upper, lower]), sigma, 4.0)


def ring(radius: float = 2.5, sigma: float = 0.3) -> Density2d:
    """A circle: the radius is Gaussian, the angle uniform.

    The Gaussian is cut at radius 0, which changes the normalization by less
    than 1e-15 while ``radius > 8 * sigma``.

    Raises:
        ValueError: If the radius is smaller.
    """
    if radius <= 8 * sigma:
        raise ValueError(
            f"radius = {radius} must exceed 8 * sigma = {8 * sigma}: else "
            "the density is not normalized"
        )

    def sample(n: int) -> Tensor:
        angle = 2 * math.pi * torch.rand(n)
        r = radius + sigma * torch.randn(n)
        return torch.stack([r * angle.cos(), r * angle.sin()], 1)

    def log_prob(x: Tensor) -> Tensor:
        r = x.norm(dim=1)
        return _log_normal(r, radius, sigma) - (2 * math.pi * r).log()

    return Density2d("ring", sample, log_prob, box=4.5)


def banana() -> Density2d:
    """x2 ~ N(0, 4) and x1 given x2 ~ N(x2^2 / 4, 1): bent one way.

    The target of Papamakarios et al. (2017, figure 1). Its entropy is
    1 + log(2 pi) + log 2 = 3.531 nats.
    """

    def sample(n: int) -> Tensor:
        x2 = 2 * torch.randn(n)
        return torch.stack([x2.square() / 4 + torch.randn(n), x2], 1)

    def log_prob(x: Tensor) -> Tensor:
        x1, x2 = x.unbind(1)
        return _log_normal(x2, 0.0, 2.0) + _log_normal(x1, x2**2 / 4, 1.0)

    return Density2d("banana", sample, log_prob, box=8.0)


def histogram() -> Tensor:
    """Return probabilities of the integers 0, ..., 19, (20,), float64.

    A two-humped distribution like the one on the slides "Dequantization":
    0.6 of a discretized N(5, 2^2) and 0.4 of a discretized N(13, 2.5^2).
    """
    x = torch.arange(20, dtype=torch.float64)
    humps = [(0.6, 5.0, 2.0), (0.4, 13.0, 2.5)]
    mass = sum(w * (-0.5 * ((x - m) / s) ** 2).exp() / s for w, m, s in humps)
    assert isinstance(mass, Tensor)
    return mass / mass.sum()


def _mixture(name: str, means: Tensor, sigma: float, box: float) -> Density2d:
    def sample(n: int) -> Tensor:
        which = torch.randint(len(means), (n,))
        return means[which] + sigma * torch.randn(n, 2)

    def log_prob(x: Tensor) -> Tensor:
        centers = means.to(x)
        log_p = _log_normal(x[:, None], centers, sigma).sum(2)
        return log_p.logsumexp(1) - math.log(len(means))

    return Density2d(name, sample, log_prob, box)


def _log_normal(x: Tensor, mean: Tensor | float, sigma: float) -> Tensor:
    z = (x - mean) / sigma
    return -0.5 * z.square() - math.log(sigma * math.sqrt(2 * math.pi))
