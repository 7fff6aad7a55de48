"""Mixtures of logistics, integrated over the bin of each level.

Salimans, Karpathy, Chen and Kingma, "PixelCNN++", 2017, section 2.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn import bounded, per_value
from .base import Likelihood, choose


class DiscretizedLogistics(Likelihood):
    """P(x) is the mass of a mixture of logistics on the bin around x.

    Levels lie at y = 2 x / (L - 1) - 1, evenly in [-1, 1], as do the means;
    the first and the last bin reach to infinity, so that all probabilities
    sum to one (eq. 2). Parameters of a value: logits, means and log-scales of
    the K components; with one component, mean and log-scale alone.

    Args:
        levels: Number L of levels, up to 65,536 and more.
        components: Number K of logistics.
        bound: Largest absolute log-scale: 16-bit sound needs exp(-9), which
            must lie well inside.
        unit: In which means and scales are given, about the scale that is
            expected: where one unit is far wider than a scale, each step of
            an optimizer moves the means by many scales.

    Raises:
        ValueError: If there are fewer than two levels, no components, or no
            unit.
    """

    def __init__(
        self,
        levels: int = 256,
        components: int = 10,
        bound: float = 12.0,
        unit: float = 1.0,
    ) -> None:
        super().__init__()
        if levels < 2 or components < 1:
            raise ValueError(
                f"levels = {levels}, components = {components}; expected at "
                "least 2 levels and 1 component"
            )
        if not 0 < unit < math.inf:
            raise ValueError(f"unit = {unit}; expected a positive number")
        self.levels, self.components, self.bound = levels, components, bound
        self.unit = unit
        self.outputs = 3 * components if components > 1 else 2

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability in nats, (B,)."""
        self.check(x)
        self.check_shape(x, parameters)
        log_weight, mean, s = self.split(parameters)
        log_p = log_weight + log_mass(x, mean, s, self.levels)
        return self.total(log_p.logsumexp(0), x)

    def log_density(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Log-density of the mixture itself, before bins, in nats.

        Where bins are narrow, log P(x) is the log-density at
        y = 2 x / (L - 1) - 1 plus the logarithm of the width 2 / (L - 1).

        Args:
            y: (B, C, ...) or, for n values of one channel, (B, n, ...).
            parameters: (B, P * C, ...).

        Returns:
            Of the shape of y.
        """
        log_weight, mean, s = self.split(parameters)
        u = (y - mean) * (-s).exp()
        return (log_weight - u - s - 2 * F.softplus(-u)).logsumexp(0)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return the expected level, (B, C, ...): the sum of P(x >= j).

        Takes time in proportion to the levels.
        """
        log_weight, mean, s = self.split(parameters)
        total = torch.zeros_like(mean[0])
        for j in range(1, self.levels):
            edge = (2 * j - self.levels) / (self.levels - 1)
            above = torch.sigmoid((mean - edge) * (-s).exp())
            total = total + (log_weight.exp() * above).sum(0)
        return total

    def sample(self, parameters: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw levels, (B, C, ...); the scales are multiplied as well."""
        log_weight, mean, s = self.split(parameters)
        index = choose(log_weight / temperature)[None]
        mean, s = mean.gather(0, index)[0], s.gather(0, index)[0]
        noise = temperature * logistic_noise(mean)
        top = self.levels - 1
        x = 0.5 * top * (mean + s.exp() * noise + 1)
        return self.as_integers(x.round().clamp(0, top))

    def split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights, means and log-scales, (K, B, C, ...) each."""
        values = per_value(parameters, self.outputs)
        if self.components == 1:
            mean, raw = values.chunk(2)
            log_weight = torch.zeros_like(mean)
        else:
            logits, mean, raw = values.chunk(3)
            log_weight = logits.log_softmax(0)
        log_scale = math.log(self.unit) + bounded(raw, self.bound)
        return log_weight, self.unit * mean, log_scale


def logistic_noise(like: Tensor) -> Tensor:
    """Draw standard logistic noise of the shape of a tensor."""
    eps = torch.finfo(like.dtype).eps
    return torch.logit(torch.rand_like(like), eps=eps)


def log_mass(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Log-probability of the bin of x under single logistics, in nats.

    With bin edges a > b, in units of the scale, sigmoid(a) - sigmoid(b) =
    sigmoid(a) sigmoid(-b) (1 - exp(b - a)): nothing cancels, however far the
    bin lies in a tail and however narrow it is.

    Args:
        x: Integers in {0, ..., levels - 1}, of any shape.
        mean: Where the logistics lie, in [-1, 1]; broadcast against x.
        log_scale: Logarithm of their scales, in the same units.
        levels: Number of levels.
    """
    top = levels - 1
    x = x.to(mean.dtype)
    per_scale = (-log_scale).exp()
    u = ((2 * x - top) / top - mean) * per_scale
    half = per_scale / top
    below, above = F.logsigmoid(u + half), F.logsigmoid(half - u)
    inside = below + above + (-torch.expm1(-2 * half)).log()
    last = torch.where(x == top, above, inside)
    return torch.where(x == 0, below, last)
