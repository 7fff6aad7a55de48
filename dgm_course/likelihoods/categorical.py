"""A probability of its own for each level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn import per_value
from .base import Likelihood, choose


class Categorical(Likelihood):
    """A softmax over the levels of each value.

    Knows nothing of their order: PixelCNN (van den Oord et al., 2016), and
    WaveNet on the 256 levels of :func:`~dgm_course.likelihoods.mu_law.encode`.

    Args:
        levels: Number L of levels.

    Raises:
        ValueError: If there are fewer than two.
    """

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels = {levels}: expected at least 2")
        self.outputs = self.levels = levels

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability in nats, (B,)."""
        self.check(x)
        self.check_shape(x, parameters)
        logits = per_value(parameters, self.levels).movedim(0, 1)
        # out of sight, levels that do not exist become NaN below
        x_known = x.long().clamp(0, self.levels - 1)
        losses = F.cross_entropy(logits, x_known, reduction="none")
        return self.total(-losses, x)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return the expected level, (B, C, ...)."""
        p = per_value(parameters, self.levels).softmax(0)
        level = torch.arange(self.levels, dtype=p.dtype, device=p.device)
        return torch.tensordot(level, p, dims=1)

    def sample(self, parameters: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw levels, (B, C, ...)."""
        logits = per_value(parameters, self.levels)
        return self.as_integers(choose(logits / temperature))
