"""Checks that can fail: equalities, bounds, expectations and integrals.

Every check prints one stable row, ``theorem | claim | tolerance | pass``, and
raises :class:`CheckFailed` with the measured numbers otherwise; numbers that
are not finite fail. A tolerance is a number of roundings times the float
precision, a number of standard errors, or the change when a grid is halved.
A page that allows more than the default says where the number comes from:
:func:`sensitivity` and :func:`integral` (``outside``) help to derive it; the
error of a sum of n terms is bounded in Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .quadrature import gauss_legendre, grid_integral
from .rows import OUTCOMES, Outcome, Row, collect_rows, show_measured

__all__ = [
    "OUTCOMES",
    "CheckFailed",
    "Outcome",
    "Row",
    "at_most",
    "collect_rows",
    "differ",
    "equal",
    "expectation",
    "gauss_legendre",
    "grid_integral",
    "integral",
    "mean_and_se",
    "mean_at_most",
    "sensitivity",
    "show_measured",
]

Number = float | Tensor


class CheckFailed(AssertionError):
    """A numerical check contradicts the claim that it stands for."""


def mean_and_se(samples: Tensor) -> tuple[float, float]:
    """Return the mean of ``samples``, of any shape, and its standard error.

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
    size: Number = 1.0,
) -> None:
    """Check ``left == right``, number by number, up to rounding.

    Each pair has its own tolerance, ``roundings * eps * max(size, |left|,
    |right|)``, with the eps of the less precise side.

    Args:
        theorem: What the claim belongs to, such as "Theorem 1.2".
        claim: The claim in a few words.
        left: One side, any shape.
        right: The other side, of a shape that broadcasts.
        roundings: Number of rounded operations, one after the other, behind
            each value: n for a sum of n terms.
        size: The largest number on the way to each value, of a shape that
            broadcasts: a rounding there is no smaller for a small result. See
            :func:`sensitivity` where errors are amplified.

    Raises:
        CheckFailed: Also where a number is infinite or NaN.
    """
    left, right, eps = _pair(left, right)
    size = torch.maximum(left.abs(), right.abs()).maximum(_tensor(size))
    error = (left - right).abs()
    label = f"{roundings} roundings"
    _report(theorem, claim, label, error, roundings * eps * size)


def differ(
    theorem: str,
    claim: str,
    left: Number,
    right: Number,
    by: float | None = None,
) -> None:
    """Check that two numbers differ, in each pair: a refutation.

    Args:
        theorem: What the claim belongs to.
        claim: The claim in a few words.
        left: One side, any shape.
        right: The other side, of a shape that broadcasts.
        by: The claim is that they are further apart than this; it is a part
            of the claim and no tolerance. None: further than
            :func:`equal` excuses with 64 roundings.
    """
    left, right, eps = _pair(left, right)
    gap = (left - right).abs()
    rounding = 64 * eps * torch.maximum(left.abs(), right.abs()).clamp(min=1.0)
    least = rounding if by is None else torch.full_like(gap, by)
    label = "beyond rounding" if by is None else f"apart by > {by:g}"
    # equality is no difference
    below = torch.nextafter(-least, torch.full_like(least, -math.inf))
    _report(theorem, claim, label, -gap, below)


def at_most(
    theorem: str,
    claim: str,
    smaller: Number,
    larger: Number,
    roundings: int = 64,
    size: Number = 1.0,
) -> None:
    """Check ``smaller <= larger``, number by number, up to rounding.

    Arguments as for :func:`equal`.
    """
    smaller, larger, eps = _pair(smaller, larger)
    size = torch.maximum(smaller.abs(), larger.abs()).maximum(_tensor(size))
    label = f"{roundings} roundings"
    _report(theorem, claim, label, smaller - larger, roundings * eps * size)


def sensitivity(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """How far a relative error of its input moves a function, elementwise.

    To first order an error ``eps * |x_j|`` of each entry moves output i by
    ``eps * sum_j |df_i / dx_j| |x_j|``. As ``size`` of :func:`equal` this is
    the tolerance of a value that was computed from rounded numbers: of a
    round trip, for instance.

    Args:
        function: Maps a batch (B, D) to (B,) or (B, M), row by row.
        x: The inputs, (B, D).

    Returns:
        The sums, of the shape of ``function(x)``.
    """
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda row: function(row[None])[0])
    )(x.detach())
    columns = x.detach().abs().view(len(x), *[1] * (jacobian.ndim - 2), -1)
    return (jacobian.abs() * columns).sum(-1)


def expectation(
    theorem: str, claim: str, samples: Tensor, value: Number, k: float = 5
) -> None:
    """Check that the mean of independent samples, (n,), is ``value``.

    Within k standard errors; at k = 5 a true claim fails once in 1.7 million
    draws.
    """
    mean, se = mean_and_se(samples)
    error = abs(mean - _tensor(value).item())
    _report(theorem, claim, f"{k:g} std errors", error, k * se)


def mean_at_most(
    theorem: str, claim: str, samples: Tensor, limit: Number, k: float = 5
) -> None:
    """Check that the mean of independent samples, (n,), is <= ``limit``."""
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
    outside: float = 0.0,
) -> None:
    """Check that a function integrates to ``value``.

    The midpoint rule with ``points`` per axis is compared with the same rule
    at half as many; the tolerance is their difference, plus float precision,
    plus what a finite box leaves out.

    Args:
        theorem: What the claim belongs to.
        claim: The claim in a few words.
        density: Maps points (N, d) in float64 to values (N,).
        box: Lower and upper end of each of the d axes; (-inf, inf) for a
            whole line.
        value: What the integral over all space should be.
        points: Even number of grid points per axis.
        outside: Bound of the integral outside a finite box, derived; 0 for
            a function that vanishes there, or a ``value`` that is meant for
            the box alone.

    Raises:
        CheckFailed: Also where the grid is too coarse to tell ``value`` from
            a thousandth more.
    """
    found, tolerance = grid_integral(density, box, points)
    if not tolerance + outside < 1e-3:
        raise CheckFailed(
            f"{theorem}: {claim}: the integral is {found:.6g}, uncertain by "
            f"{tolerance + outside:.1g}; use more points or another box"
        )
    label = "grid halved"
    _report(theorem, claim, label, abs(found - value), tolerance + outside)


def _report(
    theorem: str, claim: str, label: str, error: Number, tolerance: Number
) -> None:
    """Print the row if each error is within its own tolerance."""
    errors, allowed = torch.broadcast_tensors(
        _tensor(error), _tensor(tolerance)
    )
    if errors.numel() == 0:
        raise ValueError(f"{theorem}: {claim}: there is nothing to compare")
    excess = (errors - allowed).nan_to_num(math.inf, math.inf, math.inf)
    worst = excess.flatten().argmax()
    e, t = errors.flatten()[worst].item(), allowed.flatten()[worst].item()
    if not (math.isfinite(e) and math.isfinite(t) and e <= t):
        raise CheckFailed(
            f"{theorem}: {claim}: measured {e:.4g}, allowed {t:.4g} ({label})"
        )
    OUTCOMES.append(Outcome(theorem, claim, e, t))
    print(f"{theorem:<15} | {claim:<38} | {label:<15} | pass")


def _pair(left: Number, right: Number) -> tuple[Tensor, Tensor, float]:
    """Both sides in float64, and the eps of the less precise one."""
    tensors = _tensor(left), _tensor(right)
    eps = max(torch.finfo(t.dtype).eps for t in tensors)
    return tensors[0].double(), tensors[1].double(), eps


def _tensor(value: Number) -> Tensor:
    if isinstance(value, Tensor):
        value = value.detach().cpu()  # Apple's GPUs have no float64
        return value if value.is_floating_point() else value.double()
    return torch.tensor(value, dtype=torch.float64)
