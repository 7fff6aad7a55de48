"""What all likelihoods of integers have in common (chapters 6 to 8)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..sight import in_sight


class Likelihood(nn.Module, ABC):
    """Independent integers, each with parameters that a network gives.

    Attributes:
        outputs: Parameters P of one value.
        levels: Number L of its levels: x lies in {0, ..., L - 1}.
        joint: Whether the channels of a place are no longer independent, and
            must be drawn together.

    Shape:
        x: (B, C, ...). parameters: (B, P * C, ...), parameter after
        parameter, as the last layer of a network returns them.
    """

    outputs: int
    levels: int
    joint = False
    hint = ""

    @abstractmethod
    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability of each object in nats, (B,)."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """Return the expected value of each x, (B, C, ...)."""

    @abstractmethod
    def sample(self, parameters: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw each x, (B, C, ...), as the smallest integers that hold it.

        Args:
            parameters: See the class.
            temperature: Below 1 the likely becomes more likely.
        """

    def width(self, channels: int) -> int:
        """Return how many outputs a network needs for so many channels."""
        return self.outputs * channels

    def check(self, x: Tensor) -> None:
        """Refuse what is not an integer among the levels.

        Raises:
            ValueError: If x holds anything else. An accelerator would have to
                wait for this answer: there, :meth:`total` gives NaN.
        """
        seen = in_sight(x) and x.numel() > 0
        wrong = seen and (int(x.max()) > self.levels - 1 or int(x.min()) < 0)
        if x.is_floating_point() or wrong:
            most = self.levels - 1
            allowed = "{0, 1}" if most == 1 else f"{{0, ..., {most}}}"
            raise ValueError(
                f"x holds {x.dtype} values from {x.min().item():g} to "
                f"{x.max().item():g}; a {type(self).__name__} likelihood takes "
                f"integers in {allowed}{self.hint}"
            )

    def check_shape(self, x: Tensor, parameters: Tensor) -> None:
        """Refuse parameters that do not belong to x.

        Raises:
            ValueError: Naming both shapes.
        """
        wanted = (x.shape[0], self.width(x.shape[1]), *x.shape[2:])
        if parameters.shape != wanted:
            raise ValueError(
                f"parameters have shape {tuple(parameters.shape)}, and x has "
                f"{tuple(x.shape)}; expected {wanted}"
            )

    def total(self, log_p: Tensor, x: Tensor) -> Tensor:
        """Sum the log-probabilities of all values of an object, (B,)."""
        nats = log_p.flatten(1).sum(1)
        if in_sight(x):
            return nats
        x = x.long().flatten(1)
        outside = ((x > self.levels - 1) | (x < 0)).any(1)
        return nats.masked_fill(outside, math.nan)

    def as_integers(self, x: Tensor) -> Tensor:
        """Store samples as uint8 where that is enough, else as int64."""
        return x.to(torch.uint8 if self.levels <= 256 else torch.int64)


def choose(log_p: Tensor) -> Tensor:
    """Draw an index along the first dimension of (K, ...): integers (...).

    The probabilities are exp(log_p), up to a factor: of independent
    exponential clocks with these rates, which rings first?
    """
    clocks = torch.empty_like(log_p).exponential_()
    return (log_p - clocks.log()).argmax(0)
