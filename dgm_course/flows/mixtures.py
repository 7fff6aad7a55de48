"""Conditionals that are mixtures: z = Q(F(x)), found back by bisection."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from .conditionals import Scaled


class Mixture(Scaled):
    """z = Q(F(x)): F is the distribution function of a mixture.

    Its K components are shifted and scaled copies of the noise, and Q is the
    quantile function of the noise. So x has exactly the density of the
    mixture. Both tails of F are kept in logarithms: z is exact where F rounds
    to 0 or 1.

    Args:
        components: Number K of components.
        bound: Largest absolute log-scale.

    Raises:
        ValueError: If there are no components.
    """

    def __init__(self, components: int, bound: float = 3.0) -> None:
        super().__init__(bound)
        if components < 1:
            raise ValueError(f"components = {components}: expected at least 1")
        self.components = components
        self.outputs = 3 * components

    @staticmethod
    @abstractmethod
    def log_cdf(u: Tensor) -> Tensor:
        """Log-distribution function of the noise, symmetric around 0."""

    def start(self) -> Tensor:
        """Return equal weights, means spread over [-1, 1], log-scales 0."""
        means = torch.linspace(-1, 1, self.components + 2)[1:-1]
        zeros = torch.zeros_like(means)
        return torch.cat([zeros, means, zeros])

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
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

    def _bisect(
        self, z: Tensor, log_weight: Tensor, mean: Tensor, s: Tensor
    ) -> Tensor:
        quantiles = mean + s.exp() * z
        low, high = quantiles.amin(0), quantiles.amax(0)
        # compare logarithms of the smaller tail: 1 - F has no digits left
        # where F is close to 1
        sign = torch.where(z < 0, 1.0, -1.0).to(z)
        target = self.log_cdf(-z.abs())
        # the widest component may set the bracket, the narrowest the slope:
        # their scales differ by exp(2 bound) at most
        digits = -math.log2(torch.finfo(z.dtype).eps)
        for _ in range(math.ceil(digits + 2 * self.bound / math.log(2))):
            middle = 0.5 * (low + high)
            u = (middle - mean) * (-s).exp()
            tail = (log_weight + self.log_cdf(sign * u)).logsumexp(0)
            error = sign * (tail - target)
            low = torch.where(error < 0, middle, low)
            high = torch.where(error < 0, high, middle)
        return 0.5 * (low + high)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, mean, raw = parameters.chunk(3)
        return logits.log_softmax(0), mean, self.log_scale(raw)


class GaussianMixture(Mixture):
    """Mixtures of Gaussians under N(0, 1) noise: z = Phi^{-1}(F(x)).

    The MADE MoG of Papamakarios et al. (2017, section 3.2) as a flow; K = 1
    is :class:`~dgm_course.flows.conditionals.Affine`. Quantiles are solved
    for: z and the inverse have first derivatives only, in reverse mode.
    Arguments: see :class:`Mixture`.
    """

    @staticmethod
    def log_cdf(u: Tensor) -> Tensor:
        """Return log Phi(u)."""
        return torch.special.log_ndtr(u)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution function of the mixture, then normal quantile."""
        log_weight, mean, s = self._split(parameters)
        u = (x - mean) * (-s).exp()
        below = (log_weight + self.log_cdf(u)).logsumexp(0)
        above = (log_weight + self.log_cdf(-u)).logsumexp(0)
        left = below < above
        z = _lower_quantile(torch.where(left, below, above))
        z = torch.where(left, z, -z)
        density = (log_weight - s - 0.5 * u.square()).logsumexp(0)
        return z, density + 0.5 * z.square()  # log(2 pi) / 2 cancels


class LogisticMixture(Mixture):
    """Mixtures of logistics under logistic noise: z = logit(F(x)).

    Ho et al., "Flow++", 2019, section 3.2. The inverse has first derivatives
    only. Arguments: see :class:`Mixture`.
    """

    @staticmethod
    def log_cdf(u: Tensor) -> Tensor:
        """Return the logarithm of the sigmoid of u."""
        return F.logsigmoid(u)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of F; the slope stays in logarithms.

        With f = dF/dx, dz/dx = f / (F (1 - F)) = f / F + f / (1 - F). Both
        are averages of the components' own, and no large terms cancel.
        """
        log_weight, mean, s = self._split(parameters)
        u = (x - mean) * (-s).exp()
        below, above = F.logsigmoid(u), F.logsigmoid(-u)
        left, right = log_weight + below, log_weight + above
        z = left.logsumexp(0) - right.logsumexp(0)
        terms = [left.log_softmax(0) + above, right.log_softmax(0) + below]
        return z, (torch.stack(terms) - s).logsumexp((0, 1))


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
