"""The small layers that flows are assembled from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Flow, WithLadj


def per_channel(x: Tensor, *vectors: Tensor) -> list[Tensor]:
    """View vectors (C,) so that they act on the channels of x (B, C, ...)."""
    shape = (-1, *[1] * (x.ndim - 2))
    return [vector.view(shape) for vector in vectors]


class Permutation(Flow):
    """Reorder the columns of x: ``z[:, i] = x[:, order[i]]``, ladj = 0.

    Args:
        order: A permutation of 0, ..., D - 1.

    Raises:
        ValueError: If ``order`` is not a permutation.
    """

    order: Tensor
    undo: Tensor

    def __init__(self, order: Sequence[int] | Tensor) -> None:
        super().__init__()
        index = torch.as_tensor(order)
        if index.ndim != 1 or index.sort().values.tolist() != list(
            range(len(index))
        ):
            raise ValueError(
                "order must hold each of 0, ..., D - 1 once, got "
                f"{index.tolist()}"
            )
        self.register_buffer("order", index)
        self.register_buffer("undo", index.argsort())

    @classmethod
    def reverse(cls, dim: int) -> Permutation:
        """The permutation that turns the order of the columns round."""
        return cls(range(dim - 1, -1, -1))

    @classmethod
    def random(cls, dim: int, seed: int) -> Permutation:
        """A permutation drawn uniformly with its own seed."""
        generator = torch.Generator().manual_seed(seed)
        return cls(torch.randperm(dim, generator=generator))

    @classmethod
    def even_first(cls, dim: int) -> Permutation:
        """Columns 0, 2, 4, ... and then 1, 3, 5, ... (NICE's partition)."""
        return cls([*range(0, dim, 2), *range(1, dim, 2)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Reorder the columns."""
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Put the columns back."""
        return z.index_select(1, self.undo), z.new_zeros(z.shape[0])


class ElementwiseAffine(Flow):
    """z = x * exp(log_scale) + shift, one learned pair per dimension.

    Without the shift this is the last layer of NICE (Dinh et al., 2014,
    section 3.3).

    Args:
        dim: Number of columns D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Scale, then shift."""
        self._check(x)
        z = x * self.log_scale.exp() + self.shift
        return z, self.log_scale.sum().expand(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Shift back, then scale back."""
        self._check(z)
        x = (z - self.shift) * (-self.log_scale).exp()
        return x, (-self.log_scale.sum()).expand(z.shape[0])

    def _check(self, x: Tensor) -> None:
        dim = len(self.shift)
        if x.shape[1:] != (dim,):  # (B, 3) would pass through one pair
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this layer expects (B, {dim})"
            )


class TriangularAffine(Flow):
    """z = L x + shift with L lower triangular: whitens any Gaussian.

    The diagonal of L is exp(log_diagonal), so ladj = sum(log_diagonal), and
    the inverse is a triangular solve.

    Args:
        dim: Number of columns D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_diagonal = nn.Parameter(torch.zeros(dim))
        self.below = nn.Parameter(torch.zeros(dim, dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Multiply by L, then shift."""
        z = x @ self.matrix().T + self.shift
        return z, self.log_diagonal.sum().expand(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Shift back, then solve for x."""
        right = (z - self.shift).T
        x = torch.linalg.solve_triangular(self.matrix(), right, upper=False)
        return x.T, (-self.log_diagonal.sum()).expand(z.shape[0])

    def matrix(self) -> Tensor:
        """Return L, (D, D)."""
        return self.below.tril(-1) + self.log_diagonal.exp().diag()


class Logit(Flow):
    """From a range of grey values to the whole real line.

    v = alpha + (1 - 2 alpha) x / levels, z = log v - log(1 - v): after Dinh
    et al. (2017, section 4.1), who have 1 - alpha for our 1 - 2 alpha. Its
    log-determinant belongs to the likelihood of the pixels; bits/dim without
    it is no bits/dim.

    Args:
        levels: Width of the range: x lies in [0, levels]; 256 for bytes.
        alpha: Keeps v away from 0 and 1; in [0, 1/2). With 0 the flow is onto
            (0, levels) exactly, as noise in the unit cube needs, and infinite
            at both ends: no pixel value may lie there.

    Raises:
        ValueError: If alpha lies elsewhere.
    """

    def __init__(self, levels: int = 256, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha must lie in [0, 1/2), got {alpha}")
        self.levels = levels
        self.alpha = alpha

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Squeeze into (0, 1), then apply the logit."""
        v = self.alpha + (1 - 2 * self.alpha) * x / self.levels
        ladj = self._log_slope() - v.log() - torch.log1p(-v)
        return torch.logit(v), ladj.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the sigmoid, then stretch.

        Noise far from 0 lands up to alpha / (1 - 2 alpha) * levels outside
        [0, levels]: that mass belongs to no pixel value.
        """
        v = torch.sigmoid(z)
        x = (v - self.alpha) * self.levels / (1 - 2 * self.alpha)
        ladj = -F.softplus(z) - F.softplus(-z) - self._log_slope()
        return x, ladj.flatten(1).sum(1)

    def _log_slope(self) -> float:
        return math.log1p(-2 * self.alpha) - math.log(self.levels)
