"""Checks that can fail: equalities, bounds, expectations and integrals.

Every check prints one stable row, ``theorem | claim | tolerance | pass``, and
raises :class:`CheckFailed` with the measured numbers otherwise. A tolerance
is never chosen by hand: it is a number of roundings times the float
precision, a number of standard errors, or the change when a grid is halved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Number = float | Tensor


class CheckFailed(AssertionError):
    """A numerical check contradicts the claim that it stands for."""


@dataclass(frozen=True)
class Outcome:
    """What a check measured: shown on demand, since digits vary by machine."""

    theorem: str
    claim: str
    error: float
    tolerance: float


@dataclass(frozen=True)
class Row:
    """One printed row of a check cell, read back from a notebook."""

    theorem: str
    claim: str
    tolerance: str
    outcome: str


OUTCOMES: list[Outcome] = []


def show_measured() -> None:
    """Print the error and the tolerance of every check made so far."""
    print(f"{'theorem':<15} {'claim':<40} {'error':>9} {'allowed':>9}")
    for o in OUTCOMES:
        row = f"{o.theorem:<15} {o.claim:<40}"
        print(f"{row} {o.error:>9.1e} {o.tolerance:>9.1e}")


def mean_and_se(samples: Tensor) -> tuple[float, float]:
    """Return the mean of ``samples`` and its standard error.

    Raises:
        ValueError: If there are fewer than two samples.
    """
    if samples.numel() < 2:
        raise ValueError(
            f"a standard error needs at least 2 samples, got {samples.numel()}"
        )
    samples = samples.detach().cpu().double().flatten()
    return samples.mean().item(), (
        samples.std() / math.sqrt(len(samples))
    ).item()


def equal(
    theorem: str,
    claim: str,
    left: Number,
    right: Number,
    roundings: int = 64,
) -> None:
    """Check ``left == right`` up to floating-point rounding.

    Args:
        theorem: What the claim belongs to, such as "Theorem 1.2".
        claim: The claim in a few words.
        left: One side, any shape.
        right: The other side, of a shape that broadcasts.
        roundings: Number of rounded operations behind each value. The
            tolerance is ``roundings * eps * max(1, |left|, |right|)``, with
            the eps of the less precise side.
    """
    left, right = _tensor(left), _tensor(right)
    eps = max(torch.finfo(t.dtype).eps for t in (left, right))
    left, right = left.double(), right.double()
    size = max(1.0, left.abs().max().item(), right.abs().max().item())
    error = (left - right).abs().max().item()
    label = f"{roundings} roundings"
    _report(theorem, claim, label, error, roundings * eps * size)


def differ(
    theorem: str, claim: str, left: Number, right: Number, by: float
) -> None:
    """Check that two numbers differ by more than ``by``: a refutation."""
    gap = (_tensor(left).double() - _tensor(right).double()).abs().min()
    label = f"apart by > {by:g}"
    below = math.nextafter(-by, -math.inf)  # equality is no difference
    _report(theorem, claim, label, -gap.item(), below)


def at_most(
    theorem: str,
    claim: str,
    smaller: Number,
    larger: Number,
    roundings: int = 64,
) -> None:
    """Check ``smaller <= larger`` elementwise, up to rounding."""
    smaller, larger = _tensor(smaller), _tensor(larger)
    eps = max(torch.finfo(t.dtype).eps for t in (smaller, larger))
    size = max(1.0, larger.abs().max().item(), smaller.abs().max().item())
    error = (smaller.double() - larger.double()).max().item()
    label = f"{roundings} roundings"
    _report(theorem, claim, label, error, roundings * eps * size)


def expectation(
    theorem: str, claim: str, samples: Tensor, value: Number, k: float = 5
) -> None:
    """Check that the mean of independent samples is ``value``.

    Within k standard errors; at k = 5 a true claim fails once in 1.7 million
    draws.
    """
    mean, se = mean_and_se(samples)
    error = abs(mean - _tensor(value).item())
    _report(theorem, claim, f"{k:g} std errors", error, k * se)


def mean_at_most(
    theorem: str, claim: str, samples: Tensor, limit: Number, k: float = 5
) -> None:
    """Check that the mean of independent samples is not above ``limit``."""
    mean, se = mean_and_se(samples)
    error = mean - _tensor(limit).item()
    _report(theorem, claim, f"{k:g} std errors", error, k * se)


def integral(
    theorem: str,
    claim: str,
    density: Callable[[Tensor], Tensor],
    box: list[tuple[float, float]],
    value: float = 1.0,
    points: int = 400,
) -> None:
    """Check that a function integrates to ``value`` over a box.

    The midpoint rule with ``points`` per axis is compared with the same rule
    at half as many; the tolerance is their difference, plus float precision.

    Args:
        theorem: What the claim belongs to.
        claim: The claim in a few words.
        density: Maps points (N, d) in float64 to values (N,).
        box: Lower and upper end of each of the d axes.
        value: What the integral should be.
        points: Even number of grid points per axis.

    Raises:
        CheckFailed: Also where the grid is too coarse to tell (the tolerance
            is above 1e-3).
    """
    found, tolerance = grid_integral(density, box, points)
    if not tolerance < 1e-3:
        raise CheckFailed(
            f"{theorem}: {claim}: the integral is {found:.6g}, uncertain by "
            f"{tolerance:.1g}; use more points or another box"
        )
    label = "grid halved"
    _report(theorem, claim, label, abs(found - value), tolerance)


def grid_integral(
    density: Callable[[Tensor], Tensor],
    box: list[tuple[float, float]],
    points: int = 400,
) -> tuple[float, float]:
    """Integrate over a box by the midpoint rule.

    Returns:
        The integral on ``points`` per axis, and its uncertainty: the change
        from half as many points, plus the rounding of the sum.
    """
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


def collect_rows(notebook: str | Path) -> list[Row]:
    """Read the rows that the check cells of a stored notebook printed.

    Args:
        notebook: Path of an .ipynb file.

    Returns:
        One row per claim, in the order of the cells.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    text = "".join(
        "".join(output.get("text", []))
        for cell in cells
        if "nbval-check-output" in cell["metadata"].get("tags", [])
        for output in cell["outputs"]
    )
    rows = [line.split(" | ") for line in text.splitlines()]
    return [Row(*(p.strip() for p in row)) for row in rows if len(row) == 4]


def _report(
    theorem: str, claim: str, label: str, error: float, tolerance: float
) -> None:
    if not error <= tolerance:  # also true for NaN
        raise CheckFailed(
            f"{theorem}: {claim}: measured {error:.4g}, "
            f"allowed {tolerance:.4g} ({label})"
        )
    OUTCOMES.append(Outcome(theorem, claim, error, tolerance))
    print(f"{theorem:<15} | {claim:<38} | {label:<15} | pass")


def _tensor(value: Number) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()  # Apple's GPUs have no float64
    return torch.tensor(value, dtype=torch.float64)


def _midpoint(density, box: list[tuple[float, float]], points: int) -> float:
    axes, cell = [], 1.0
    for low, high in box:
        width = (high - low) / points
        ticks = torch.arange(points, dtype=torch.float64)
        axes.append(low + width * (ticks + 0.5))
        cell *= width
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    with torch.no_grad():
        parts = [density(p) for p in grid.flatten(0, -2).split(1 << 16)]
    return cell * math.fsum(float(part.sum()) for part in parts)
