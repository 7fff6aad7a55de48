"""Variational posteriors q(z|x), given what the encoder says about x."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..flows import Compose, Flow, Inverse, Permutation, maf
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

    def rsample_and_log_prob(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draw z = mean + std * noise, and log q(z|x) in nats."""
        mean, log_std = self.mean_and_log_std(h)
        z = mean + log_std.exp() * torch.randn_like(mean)
        return z, log_normal(z, mean, log_std)

    def kl_to_standard_normal(self, h: Tensor) -> Tensor:
        """KL(q(z|x) || N(0, I)) in nats for each dimension, (B, d)."""
        return kl_to_standard_normal(*self.mean_and_log_std(h))


class FlowPosterior(Posterior):
    """A diagonal Gaussian that a flow bends (Rezende and Mohamed, 2015).

    z = g(z0, c) with z0 ~ N(mean(x), diag(std(x)^2)), where g is the way of
    the flow from noise to data, and log q(z|x) = log q(z0|x) - log|det dg/dz0|
    at the sample's own z0. The flow is never run the other way.

    Args:
        flow: Any flow on vectors of length d, also a
            :class:`~dgm_course.flows.OneWay`.
        dim: Number of latent dimensions d.
        context: Width of the context c that the encoder hands to the flow; 0
            for one flow for all x.

    Raises:
        ValueError: If there are no dimensions, or the context has a negative
            width.
    """

    def __init__(self, flow: Flow, dim: int, context: int = 0) -> None:
        super().__init__()
        if context < 0:
            raise ValueError(f"context = {context}: expected 0 or more")
        self.base = DiagonalGaussian(dim)
        self.flow = flow
        self.dim = dim
        self.context = context
        self.inputs = self.base.inputs + context

    def rsample_and_log_prob(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Draw z0, run the flow once, and return z and log q(z|x) in nats."""
        gaussian, context = h.split([self.base.inputs, self.context], dim=1)
        z0, log_q = self.base.rsample_and_log_prob(gaussian)
        z, ladj = self.flow.inverse(z0, context if self.context else None)
        return z, log_q - ladj


def iaf_posterior(
    dim: int,
    steps: int = 4,
    hidden: Sequence[int] = (64, 64),
    context: int = 0,
    order: str = "reverse",
) -> FlowPosterior:
    """Assemble the posterior of Kingma et al. (2016, algorithm 1).

    Each step takes z and the context, z_k = mu_k(z, c) + sigma_k(z, c) z with
    autoregressive mu and sigma: one pass of its network. A chain of such steps
    is a MAF run from its data to its noise, and built as one. At the end the
    dimensions are put back into their order, so the chain starts as identity.

    Args:
        dim: Number of latent dimensions d.
        steps: Number of steps.
        hidden: Widths of the hidden layers of each.
        context: Width of the context that the encoder hands to each step.
        order: What is done to the order of the dimensions between two steps,
            as in :func:`dgm_course.flows.maf`; with "same" all of them make
            one step.
    """
    chain: Any = maf(dim, steps, hidden, context, order).flow
    turns = [part for part in chain.flows if isinstance(part, Permutation)]
    back = [Permutation(turn.undo.clone()) for turn in reversed(turns)]
    return FlowPosterior(Inverse(Compose(*chain.flows, *back)), dim, context)
