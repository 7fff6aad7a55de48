"""Sylvester flows: planar flows with M directions at once.

Van den Berg, Hasenclever, Tomczak and Welling, "Sylvester normalizing flows
for variational inference", 2018.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn import Amortized, bounded
from .base import OneWay, WithLadj


class Sylvester(OneWay):
    """x = z + Q R tanh(S Q^T z + b), R and S upper triangular (eq. 13).

    By Sylvester's identity the determinant of the D x D Jacobian is one of
    size M, and triangular: prod_m (1 + tanh'_m R_mm S_mm). The diagonals stay
    in (-0.99, 0.99), so no factor reaches 0, and the map is one to one
    (theorem 2). Q has M orthonormal columns, the first of a product of
    Householder reflections (section 4.2). Starts as the identity.

    Args:
        dim: Number of columns D.
        terms: Number of directions M, from 1 to D.
        context: Width of a context vector that all parameters are computed
            from; 0 for one map for all rows.
        reflections: Number of reflections; M of them reach every Q.

    Raises:
        ValueError: If there are no directions, or more than columns, or no
            reflections.
    """

    bound = 0.99

    def __init__(
        self,
        dim: int,
        terms: int,
        context: int = 0,
        reflections: int | None = None,
    ) -> None:
        super().__init__()
        reflections = terms if reflections is None else reflections
        if not 1 <= terms <= dim:
            raise ValueError(
                f"terms = {terms}; expected 1, ..., {dim}, at most one "
                "direction for each column"
            )
        if reflections < 1:
            raise ValueError(
                f"reflections = {reflections}: expected at least 1"
            )
        self.terms = terms
        start = [
            torch.randn(reflections, dim),  # normals of the mirrors
            torch.zeros(terms, terms),  # R, whose diagonal is still raw
            torch.eye(terms),  # S, likewise
            torch.zeros(terms),  # b
        ]
        sizes = [part.numel() for part in start]
        flat = torch.cat([part.flatten() for part in start])
        self.amortized = Amortized(flat, sizes, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data: push each row within the span of its Q."""
        mirrors, r, s, b = self.amortized(z.shape[0], context)
        normals = mirrors.unflatten(1, (-1, z.shape[1])).unbind(1)
        (r, r_diagonal), (s, s_diagonal) = map(self._triangle, (r, s))
        y = z
        for v in normals:
            y = _reflect(y, v)
        t = torch.tanh(_times(s, y[:, : self.terms]) + b)
        push = F.pad(_times(r, t), (0, z.shape[1] - self.terms))
        for v in reversed(normals):
            push = _reflect(push, v)
        factors = 1 + (1 - t.square()) * r_diagonal * s_diagonal
        return z + push, factors.log().sum(1)

    def _triangle(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return upper triangles (B, M, M) and their diagonals (B, M)."""
        square = flat.unflatten(1, (self.terms, self.terms))
        diagonal = bounded(square.diagonal(0, 1, 2), self.bound)
        return square.triu(1) + diagonal.diag_embed(), diagonal


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply row by row: (B, M, M) and (B, M) to (B, M)."""
    return (matrix @ vector.unsqueeze(2)).squeeze(2)


def _reflect(x: Tensor, v: Tensor) -> Tensor:
    """Mirror each row of x in the hyperplane whose normal is v."""
    weight = 2 * (v * x).sum(1, keepdim=True) / v.square().sum(1, keepdim=True)
    return x - weight * v
