"""The teacher: a distribution of each sample, given all samples before it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..likelihoods import Likelihood


class Teacher(nn.Module):
    """p(x) = prod_t p(x_t | x_1, ..., x_{t-1}), in one pass of a network.

    Van den Oord et al. (2016, eq. 1). The network is causal, so that output t
    would see x_t; it is given the sound one step late.

    Args:
        net: Causal network from (B, 1, T) to (B, P, T), such as
            :class:`~dgm_course.wavenet.WaveNet`.
        likelihood: What its outputs are read as: a categorical of 256 levels
            for sound in 8 bits, a mixture of logistics for 16 bits.

    Shape:
        x: Integers (B, 1, T) in {0, ..., levels - 1}. y: the same as numbers
        in [-1, 1], ``2 x / (levels - 1) - 1``. local, label: see
        :class:`~dgm_course.wavenet.WaveNet`.
    """

    def __init__(self, net: nn.Module, likelihood: Likelihood) -> None:
        super().__init__()
        self.net: Any = net
        self.likelihood: Any = likelihood

    def log_probs(
        self,
        x: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Log-probability of each sample in nats, (B, T - context).

        Args:
            x: The sound.
            local: Condition that varies with time.
            label: Condition of the whole sound.
            context: Samples at the left that are given, and not counted.
        """
        parameters = self.conditionals(self.scaled(x), local, label, context)
        kept = x[..., context:]
        # each sample is an object of its own
        each = self.likelihood.log_prob(
            kept.movedim(2, 1).flatten(0, 1)[..., None],
            parameters.movedim(2, 1).flatten(0, 1)[..., None],
        )
        return each.view(x.shape[0], -1)

    def log_prob(
        self,
        x: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Log-probability of each sound in nats, (B,); see `log_probs`."""
        return self.log_probs(x, local, label, context).sum(1)

    def conditionals(
        self,
        y: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Return the parameters of each p(x_t | x_<t), (B, P, T - context).

        Before the start there is silence. The gradient reaches y.
        """
        late = F.pad(y, (1, -1))
        return self.net(late, local, label, context)

    def scaled(self, x: Tensor) -> Tensor:
        """Return levels as numbers in [-1, 1], in the dtype of the weights."""
        dtype = next(self.net.parameters()).dtype
        return in_range(x, self.likelihood.levels, dtype)


def in_range(x: Tensor, levels: int, dtype: torch.dtype) -> Tensor:
    """Return levels {0, ..., levels - 1}, any shape, as numbers in [-1, 1]."""
    return 2 * x.to(dtype) / (levels - 1) - 1
