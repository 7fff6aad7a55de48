"""Invertible maps, and the densities they make (change of variables).

A flow is a pair of maps. ``forward`` is the slides' f and always goes from
data to noise; ``inverse`` is their g and goes back. Each returns its value
and ``ladj``, the log-absolute-determinant of the Jacobian of the map that was
just applied, one number per sample.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# what a map returns: its value, and its ladj (B,)
WithLadj = tuple[Tensor, Tensor]


class Flow(nn.Module, ABC):
    """An invertible map with a tractable Jacobian determinant.

    Shape:
        x: (B, D) or (B, C, H, W). z: as x, or (B, D) for a flow that splits.
        ladj: (B,), always.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Data to noise: return z = f(x) and log|det df/dx|, (B,)."""

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data: return x = g(z) and log|det dg/dz|, (B,)."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of z for an x of this shape, both without B."""
        return shape


class OneWay(Flow):
    """A flow known from noise to data only: subclasses have ``inverse``.

    It gives the density of its own samples, and of nothing else. That is
    enough for a posterior, which is never asked for another.
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Refuse.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} maps noise to data and has no closed form "
            "for the way back, so it cannot give the density of arbitrary x; "
            "use inverse(z), or FlowModel.rsample_and_log_prob, which give "
            "each sample with its density"
        )


class Compose(Flow):
    """Flows applied one after the other; their log-determinants add up.

    ``Compose(a, b).forward(x)`` is ``b(a(x))``; the inverse undoes b first.
    """

    def __init__(self, *flows: Flow) -> None:
        super().__init__()
        self.flows: Any = nn.ModuleList(flows)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the last flow."""
        for flow in self.flows:
            shape = flow.output_shape(shape)
        return shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the flows from first to last."""
        total = x.new_zeros(x.shape[0])
        for flow in self.flows:
            x, ladj = flow(x, context)
            total = total + ladj
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Undo the flows from last to first."""
        total = z.new_zeros(z.shape[0])
        for flow in reversed(self.flows):
            z, ladj = flow.inverse(z, context)
            total = total + ladj
        return z, total


class Inverse(Flow):
    """The same flow with its two directions exchanged."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same shape, which is all that can be told from this side."""
        if self.flow.output_shape(shape) != shape:
            raise ValueError(
                f"Inverse({type(self.flow).__name__}) changes the shape of a "
                "sample; write a flow of your own with its output_shape"
            )
        return shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the inverse of the wrapped flow."""
        return self.flow.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the wrapped flow."""
        return self.flow(z, context)


class Base(nn.Module, ABC):
    """A fixed density on noise vectors z of shape (B, dim).

    Args:
        dim: Length of a noise vector.

    Raises:
        ValueError: If it is below 1.
    """

    zero: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim
        # noise takes its dtype and device from here, so .to() moves it
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: (B, dim) to (B,)."""

    @abstractmethod
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw (n, dim) samples with their scale times ``temperature``."""


class StandardNormal(Base):
    """Independent N(0, 1) in every dimension."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: (B, dim) to (B,)."""
        return -0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw (n, dim) samples with standard deviation ``temperature``."""
        like = self.zero
        noise = torch.randn(n, self.dim, dtype=like.dtype, device=like.device)
        return temperature * noise


class StandardLogistic(Base):
    """Independent logistic noise: the base of NICE (Dinh et al., 2014)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: (B, dim) to (B,)."""
        return -(z + 2 * F.softplus(-z)).sum(1)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw (n, dim) samples with scale ``temperature``."""
        like = self.zero
        u = torch.rand(n, self.dim, dtype=like.dtype, device=like.device)
        eps = torch.finfo(like.dtype).eps
        return temperature * torch.logit(u, eps=eps)


class FlowModel(nn.Module):
    """The density that a flow makes of a base density.

    log p(x) = log base(f(x)) + log|det df/dx|, in nats.

    Args:
        flow: The map f from data to noise.
        base: The density of the noise; ``base.dim`` fixes D.
    """

    def __init__(self, flow: Flow, base: Base) -> None:
        super().__init__()
        self.flow = flow
        self.base = base

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log p(x) in nats, (B,).

        Raises:
            ValueError: If x has not D values per sample, or is not of the
                model's dtype (raw integers, for instance).
        """
        self._check(x)
        z, ladj = self.flow(x, context)
        return self.base.log_prob(z.flatten(1)) + ladj

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw n samples (n, ...); with a context, ``len(context) == n``."""
        z = self.base.sample(n, temperature)
        return self.flow.inverse(z, self._check_context(n, context))[0]

    def rsample_and_log_prob(
        self, n: int, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n differentiable samples and return log p of each, (n,).

        The density comes from the pass that drew the samples:
        log p(g(z)) = log base(z) - log|det dg/dz|.
        """
        z = self.base.sample(n)
        x, ladj = self.flow.inverse(z, self._check_context(n, context))
        return x, self.base.log_prob(z) - ladj

    def _check(self, x: Tensor) -> None:
        dim, dtype = self.base.dim, self.base.zero.dtype
        if x.ndim < 2 or math.prod(x.shape[1:]) != dim:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this model expects a batch "
                f"(B, ...) with {dim} values per sample"
            )
        if x.dtype != dtype:
            hint = "" if x.is_floating_point() else " (dequantize them first)"
            raise ValueError(
                f"x holds {x.dtype} values{hint}; the model computes in "
                f"{dtype}: use x.to({dtype}) or model.to({x.dtype})"
            )

    @staticmethod
    def _check_context(n: int, context: Tensor | None) -> Tensor | None:
        if context is not None and len(context) != n:
            raise ValueError(
                f"context has {len(context)} rows, but n = {n} samples were "
                "asked for; pass one row of context per sample"
            )
        return context
