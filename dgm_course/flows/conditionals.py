"""One-dimensional maps between a variable x_i and its noise z_i.

A flow with a triangular Jacobian gives each variable such a map, whose
parameters are computed from other variables: those before it (autoregressive
flows), or those that a coupling keeps. With z_i ~ N(0, 1) the map is the
conditional density, ``p(x_i | x_1, ..., x_{i-1}) = N(z_i; 0, 1) |dz_i/dx_i|``.
Mixtures stand in :mod:`~dgm_course.flows.mixtures`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..nn import bounded


class Conditional(ABC):
    """An increasing map of x to z, elementwise, with P parameters.

    Shape:
        x, z, ladj: any shape. parameters: ``(P, *shape of x)``.
    """

    outputs: int

    @abstractmethod
    def start(self) -> Tensor:
        """Return the parameters that an untrained flow should have, (P,)."""

    @abstractmethod
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Data to noise: return z and log dz/dx."""

    @abstractmethod
    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Noise to data: return x and log dx/dz."""


class Shift(Conditional):
    """z = x + t: preserves volume (Dinh et al., 2014, section 3.2)."""

    outputs = 1

    def start(self) -> Tensor:
        """Return shift 0: the identity."""
        return torch.zeros(1)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Add the shift."""
        return x + parameters[0], torch.zeros_like(x)

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Subtract the shift."""
        return z - parameters[0], torch.zeros_like(z)


class Scaled(Conditional):
    """A map with log-scales, bounded so that no sample makes it overflow.

    Args:
        bound: Largest absolute log-scale, see
            :func:`~dgm_course.nn.outputs.bounded`.

    Raises:
        ValueError: If it is not positive.
    """

    def __init__(self, bound: float = 3.0) -> None:
        if not bound > 0:
            raise ValueError(f"bound = {bound}: expected a positive number")
        self.bound = bound

    def log_scale(self, raw: Tensor) -> Tensor:
        """Return the bounded log-scale, of the shape of ``raw``."""
        return bounded(raw, self.bound)


class Affine(Scaled):
    """z = (x - mean) exp(-s): Gaussian conditionals N(mean, exp(s)^2).

    Papamakarios, Pavlakou and Murray (2017, eq. 2 to 5). Starts as identity.
    """

    outputs = 2

    def start(self) -> Tensor:
        """Return mean 0 and log-scale 0."""
        return torch.zeros(2)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Subtract the mean, divide by the scale."""
        mean, raw = parameters
        s = self.log_scale(raw)
        return (x - mean) * (-s).exp(), -s

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply by the scale, add the mean."""
        mean, raw = parameters
        s = self.log_scale(raw)
        return z * s.exp() + mean, s


class ScaleShift(Scaled):
    """z = x exp(s) + t: the coupling of RealNVP (Dinh et al., 2017, eq. 7).

    :class:`Affine` with its directions exchanged. Starts as identity.
    """

    outputs = 2

    def start(self) -> Tensor:
        """Return log-scale 0 and shift 0."""
        return torch.zeros(2)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Scale, then shift."""
        raw, t = parameters
        s = self.log_scale(raw)
        return x * s.exp() + t, s

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Shift back, then scale back."""
        raw, t = parameters
        s = self.log_scale(raw)
        return (z - t) * (-s).exp(), -s


class Chain(Conditional):
    """Conditionals one after the other, each with parameters of its own.

    ``Chain(LogisticMixture(K), ScaleShift())`` is the map of Flow++,
    z = logit(F(x)) exp(a) + b (Ho et al., 2019, section 3.2).

    Args:
        conditionals: From data to noise.
    """

    def __init__(self, *conditionals: Conditional) -> None:
        self.conditionals = conditionals
        self.counts = [one.outputs for one in conditionals]
        self.outputs = sum(self.counts)

    def start(self) -> Tensor:
        """Return the starts of all."""
        return torch.cat([one.start() for one in self.conditionals])

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Apply them from first to last."""
        total = torch.zeros_like(x)
        for one, own in zip(self.conditionals, parameters.split(self.counts)):
            x, ladj = one.forward(x, own)
            total = total + ladj
        return x, total

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Undo them from last to first."""
        total = torch.zeros_like(z)
        parts = parameters.split(self.counts)
        for one, own in zip(self.conditionals[::-1], parts[::-1]):
            z, ladj = one.inverse(z, own)
            total = total + ladj
        return z, total
