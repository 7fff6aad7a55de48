"""Integrals on a grid, with what is known of their error.

From chapter 0 on they check that densities integrate to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Density = Callable[[Tensor], Tensor]
Box = list[tuple[float, float]]


def grid_integral(
    density: Density,
    box: Box,
    points: int = 400,
) -> tuple[float, float]:
    """Integrate over a box by the midpoint rule.

    A whole line is mapped to (-1, 1) by ``x = 4 t / (1 - t^2)``, which puts
    half of the points between -8/3 and 8/3.

    Returns:
        The integral on ``points`` per axis, and its uncertainty: the change
        from half as many points, plus the rounding of the sum.

    Raises:
        ValueError: If ``points`` is odd, or one end alone is infinite.
    """
    if points % 2 or points < 2:
        raise ValueError(
            f"points = {points}: expected an even number, since the same "
            "rule is applied to half as many"
        )
    fine = _midpoint(density, box, points)
    coarse = _midpoint(density, box, points // 2)
    rounding = points ** len(box) * torch.finfo(torch.float64).eps
    return fine, abs(fine - coarse) + rounding


def gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of quadrature on [0, 1], float64, (n,) each.

    Exact for polynomials of degree 2n - 1; for smooth integrands the error
    falls exponentially in n.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy(nodes + 1) / 2, torch.from_numpy(weights) / 2


def _axis(low: float, high: float, points: int) -> tuple[Tensor, Tensor]:
    """Midpoints and the width of the cell of each, (points,)."""
    middle = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    if math.isfinite(high - low):
        width = (high - low) / points
        return low + (high - low) * middle, torch.full_like(middle, width)
    if (low, high) != (-math.inf, math.inf):
        raise ValueError(
            f"({low}, {high}): an axis of the box is finite or (-inf, inf)"
        )
    t = 2 * middle - 1
    slope = 4 * (1 + t**2) / (1 - t**2) ** 2
    return 4 * t / (1 - t**2), 2 / points * slope


def _midpoint(density: Density, box: Box, points: int) -> float:
    axes, widths = zip(*[_axis(*ends, points) for ends in box])
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    cells = torch.stack(torch.meshgrid(*widths, indexing="ij"), -1).prod(-1)
    parts = zip(
        grid.flatten(0, -2).split(1 << 16), cells.flatten().split(1 << 16)
    )
    with torch.no_grad():
        sums = [float((density(p) * cell).sum()) for p, cell in parts]
    return math.fsum(sums)
