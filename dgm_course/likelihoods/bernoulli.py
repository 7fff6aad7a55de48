"""Pixels that are black or white, as those of chapter 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Likelihood


class Bernoulli(Likelihood):
    """Independent pixels in {0, 1}, each with its own logit."""

    outputs = 1
    levels = 2
    hint = " (for grey values: binarize them first)"

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
        self.check(x)
        # log sigmoid(l) for a 1 and log sigmoid(-l) for a 0, without overflow
        losses = F.binary_cross_entropy_with_logits(
            logits, x.to(logits.dtype), reduction="none"
        )
        return self.total(-losses, x)

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

    def sample(self, logits: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw pixels in {0, 1}, uint8, of the shape of the logits."""
        p = self.mean(logits / temperature)
        return torch.bernoulli(p).to(torch.uint8)
