"""One-dimensional maps between a variable x_i and its noise z_i.

An autoregressive flow gives each variable such a map, whose parameters are
computed from the variables before it. With z_i ~ N(0, 1) the map is the
conditional density, ``p(x_i | x_1, ..., x_{i-1}) = N(z_i; 0, 1) |dz_i/dx_i|``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Conditional(ABC):
    """An increasing map of x to z, elementwise, with P parameters.

    Log-scales are bounded, ``bound * tanh(raw / bound)``, so that no sample
    can make the map overflow.

    Shape:
        x, z, ladj: any shape. parameters: ``(P, *shape of x)``.
    """

    outputs: int
    bound = 3.0

    @abstractmethod
    def start(self) -> Tensor:
        """Return the parameters that an untrained flow should have, (P,)."""

    @abstractmethod
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Data to noise: return z and log dz/dx."""

    @abstractmethod
    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Noise to data: return x and log dx/dz."""

    def log_scale(self, raw: Tensor) -> Tensor:
        """Return the bounded log-scale."""
        return self.bound * torch.tanh(raw / self.bound)


class Affine(Conditional):
    """z = (x - mean) exp(-s): Gaussian conditionals N(mean, exp(s)^2).

    Papamakarios, Pavlakou and Murray (2017, eq. 2 to 5). Starts as identity.
    """

    outputs = 2

    def start(self):
        """Return mean 0 and log-scale 0."""
        return torch.zeros(2)

    def forward(self, x, parameters):
        """Subtract the mean, divide by the scale."""
        mean, raw = parameters
        s = self.log_scale(raw)
        return (x - mean) * (-s).exp(), -s

    def inverse(self, z, parameters):
        """Multiply by the scale, add the mean."""
        mean, raw = parameters
        s = self.log_scale(raw)
        return z * s.exp() + mean, s


class GaussianMixture(Conditional):
    """z = Phi^{-1}(F(x)), F the distribution function of a mixture.

    Under N(0, 1) noise the density of x is exactly that of the mixture of K
    Gaussians: this is the MADE MoG of Papamakarios et al. (2017, section 3.2)
    as a flow. K = 1 is :class:`Affine`. Both tails of F are kept in
    logarithms, so that z is exact where F rounds to 0 or 1. Quantiles are
    solved for: z and the inverse have first derivatives only, in reverse mode.

    Args:
        components: Number K of Gaussians.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, components: int) -> None:
        if components < 1:
            raise ValueError(f"components = {components}: expected at least 1")
        self.components = components
        self.outputs = 3 * components

    def start(self):
        """Return equal weights, means spread over [-1, 1], log-scales 0."""
        means = torch.linspace(-1, 1, self.components + 2)[1:-1]
        zeros = torch.zeros_like(means)
        return torch.cat([zeros, means, zeros])

    def forward(self, x, parameters):
        """Distribution function of the mixture, then normal quantile."""
        log_weight, mean, s = self._split(parameters)
        u = (x - mean) * (-s).exp()
        below = _log_cdf(log_weight, u)
        above = _log_cdf(log_weight, -u)
        left = below < above
        z = _lower_quantile(torch.where(left, below, above))
        z = torch.where(left, z, -z)
        density = (log_weight - s - 0.5 * u.square()).logsumexp(0)
        return z, density + 0.5 * z.square()  # log(2 pi) / 2 cancels

    def inverse(self, z, parameters):
        """Bisection, with the gradient of the implicit function theorem.

        The quantile of a mixture lies between those of its components.
        """
        with torch.no_grad():
            x = self._bisect(z, *self._split(parameters))
        again, log_slope = self.forward(x, parameters)
        if torch.is_grad_enabled():
            # dx = (dz - what the parameters do to z) / slope; adds nothing
            step = (z - again) * (-log_slope.detach()).exp()
            x = x + (step - step.detach())
            log_slope = self.forward(x, parameters)[1]
        return x, -log_slope

    def _bisect(self, z, log_weight, mean, s):
        quantiles = mean + s.exp() * z
        low, high = quantiles.amin(0), quantiles.amax(0)
        # compare logarithms of the smaller tail: 1 - F has no digits left
        # where F is close to 1
        sign = torch.where(z < 0, 1.0, -1.0).to(z)
        target = torch.special.log_ndtr(-z.abs())
        halvings = round(-math.log2(torch.finfo(z.dtype).eps)) + 8
        for _ in range(halvings):
            middle = 0.5 * (low + high)
            u = (middle - mean) * (-s).exp()
            error = sign * (_log_cdf(log_weight, sign * u) - target)
            low = torch.where(error < 0, middle, low)
            high = torch.where(error < 0, high, middle)
        return 0.5 * (low + high)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, mean, raw = parameters.chunk(3)
        return logits.log_softmax(0), mean, self.log_scale(raw)


def _log_cdf(log_weight: Tensor, u: Tensor) -> Tensor:
    return (log_weight + torch.special.log_ndtr(u)).logsumexp(0)


def _lower_quantile(log_p: Tensor) -> Tensor:
    """Return z <= 0 with log Phi(z) = log_p, for log_p <= log(1/2).

    Newton's method on the concave function log Phi climbs to the root from
    any point on its left, and Phi(-t) <= exp(-t^2 / 2) / 2 gives such a point
    that is exact at p = 1/2. The last step is the differentiable one: its
    gradient is that of the implicit function.
    """
    with torch.no_grad():
        z = -(-2 * (log_p + math.log(2))).clamp(min=0).sqrt()
        for _ in range(5):
            z = _newton(z, log_p)
    return _newton(z, log_p)


def _newton(z: Tensor, log_p: Tensor) -> Tensor:
    # Phi(z) / phi(z), which neither over- nor underflows for z <= 0
    ratio = math.sqrt(math.pi / 2) * torch.special.erfcx(-z / math.sqrt(2))
    return z - (torch.special.log_ndtr(z) - log_p) * ratio
