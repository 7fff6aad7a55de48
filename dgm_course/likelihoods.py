"""What a number in nats means: the one place that divides by log 2."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .nn.made import in_sight

Number = TypeVar("Number", float, Tensor)


def bits_per_dim(nats: Number, dims: int) -> Number:
    """Turn a log-likelihood in nats into bits per dimension.

    Args:
        nats: Log-likelihood (or a lower bound of it) of one object, in nats;
            for data in {0, ..., 255} it must be the likelihood of the
            integers, with the log-determinant of all preprocessing included.
        dims: Number of dimensions D of the object (3 * 32 * 32 for CIFAR-10).

    Returns:
        ``-nats / (D log 2)``: the code length per dimension; 8 for the
        uniform distribution over bytes.

    Raises:
        ValueError: If ``dims`` is not positive.

    Example:
        >>> bits_per_dim(-784 * math.log(256), 784)
        8.0
    """
    if dims <= 0:
        raise ValueError(f"dims must be positive, got {dims}")
    return -nats / (dims * math.log(2))


class Bernoulli(nn.Module):
    """Independent pixels in {0, 1}, each with its own logit."""

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Log-probability in nats, (B,).

        Args:
            x: Integers in {0, 1}, (B, ...).
            logits: Log-odds of a 1, of the shape of x.

        Raises:
            ValueError: If x holds anything else, such as grey values. An
                accelerator, which would have to wait for this answer, returns
                NaN for such an x.
        """
        wrong = in_sight(x) and (int(x.max()) > 1 or int(x.min()) < 0)
        if x.is_floating_point() or wrong:
            raise ValueError(
                f"x holds {x.dtype} values from {x.min().item():g} to "
                f"{x.max().item():g}; a Bernoulli likelihood takes integers "
                "in {0, 1} (for grey values: binarize them first)"
            )
        # log sigmoid(l) for a 1 and log sigmoid(-l) for a 0, without overflow
        losses = F.binary_cross_entropy_with_logits(
            logits, x.to(logits.dtype), reduction="none"
        )
        log_p = -losses.flatten(1).sum(1)
        if in_sight(x):
            return log_p
        outside = ((x > 1) | (x < 0)).flatten(1).any(1)
        return log_p.masked_fill(outside, math.nan)

    def log_prob_pairs(self, x: Tensor, logits: Tensor) -> Tensor:
        """Log-probability of each of n objects under each of K logits.

        It is linear in x: all pairs are one matrix product.

        Args:
            x: Integers in {0, 1}, (n, ...).
            logits: Log-odds of a 1, (K, ...).

        Returns:
            (n, K), in nats.
        """
        logits = logits.flatten(1)
        linear = x.flatten(1).to(logits.dtype) @ logits.T
        return linear - F.softplus(logits).sum(1)

    def mean(self, logits: Tensor) -> Tensor:
        """Return the probability of a 1, of the shape of the logits."""
        return torch.sigmoid(logits)

    def sample(self, logits: Tensor) -> Tensor:
        """Draw pixels in {0, 1}, uint8, of the shape of the logits."""
        return torch.bernoulli(self.mean(logits)).to(torch.uint8)
