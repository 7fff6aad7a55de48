"""Is a trained density honest, and how well does it fit?

Student code sees the points at which it is asked, so it may try to be large
at hidden test points alone. It cannot: they come shuffled among decoys that
lie where the training points are, each drawn independently, and whether a
point is of the one or the other kind is hidden: the generator of the decoys
is seeded with the test points themselves, and all points have the same few
digits. Then the best answer, even for code that looks at all the points at
once, is the true density, and the integral over the decoys (importance
sampling) tells what is larger than a density may be.

Samples must follow the density: their counts in the cells of a grid, and in
rings by the distance to the nearest training point (samples that repeat the
training set are too near), are compared with its integral over each of them by
a chi-squared statistic.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

DECOYS = 40_000  # points of the integral
UNIFORM = 0.3  # the share of them that is uniform in the box
CENTERS = 64  # training points around which the others lie
SAMPLES = 5_000
GRID = 8  # cells a side
RINGS = 16  # by the distance to the nearest training point
DIGITS = 2.0**-16  # of a coordinate: finer ones would tell points apart
SPIKES = 0.05  # standard error of the integral that is too large to judge
DEVIATIONS = 5.0  # a right density fails once in 3.5 million


class Points(NamedTuple):
    """Points to ask for, and which of them are what.

    Attributes:
        points: (M, 2), in the order in which they are asked.
        is_test: (M,), bool.
        weights: (M,), 1 / density of the decoys; 0 outside of the box.
        far: (M,), distance to the nearest training point.
    """

    points: np.ndarray
    is_test: np.ndarray
    weights: np.ndarray
    far: np.ndarray


def points(x_train: np.ndarray, x_test: np.ndarray, box: float) -> Points:
    """Mix test points with decoys.

    The decoys' density is a uniform one and a kernel estimate on training
    points with Scott's (1992) bandwidth, so their weights are bounded.

    All submissions are asked for the same points, which are made once.

    Args:
        x_train: (N, 2), float32.
        x_test: (M, 2), float32.
        box: Half of the width of the square in which they lie.

    Raises:
        ValueError: If a test point lies outside of the box.
    """
    return _points(x_train.tobytes(), x_test.tobytes(), box)


@lru_cache(8)
def _points(train: bytes, test: bytes, box: float) -> Points:
    x_train, x_test = (
        np.frombuffer(data, np.float32).reshape(-1, 2) for data in (train, test)
    )
    if not (np.abs(x_test) < box).all():
        raise ValueError(
            f"test points reach {np.abs(x_test).max():.3g}: box = {box} must "
            "be larger"
        )
    generator = np.random.default_rng(_secret(x_test))
    centers = generator.permutation(x_train)[:CENTERS].astype(np.float64)
    width = centers.std(0) * len(centers) ** (-1 / 6)
    decoys = generator.choice(centers, DECOYS)
    decoys += width * generator.normal(size=decoys.shape)
    flat = generator.random(DECOYS) < UNIFORM
    decoys[flat] = generator.uniform(-box, box, (int(flat.sum()), 2))
    together = np.concatenate([x_test, decoys])
    together = (np.floor(together / DIGITS) * DIGITS).astype(x_test.dtype)
    density = UNIFORM / (2 * box) ** 2 + (1 - UNIFORM) * _kernels(
        together, centers, width
    )
    inside = (np.abs(together) < box).all(1)
    order = generator.permutation(len(together))
    return Points(
        together[order],
        order < len(x_test),
        np.where(inside, 1 / density, 0.0)[order],
        _nearest(together[order], x_train),
    )


def _secret(x_test: np.ndarray) -> list[int]:
    """Return a seed that nobody knows who does not know the test points."""
    digest = hashlib.sha256(np.ascontiguousarray(x_test).tobytes()).digest()
    return list(digest)


def _kernels(
    x: np.ndarray, centers: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """Density of the mean of Gaussians around the centers, (M,)."""
    total = np.zeros(len(x))
    for center in centers:
        total += np.exp(-0.5 * (((x - center) / width) ** 2).sum(1))
    return total / (len(centers) * 2 * np.pi * width.prod())


def judge(
    asked: Points, box: float, log_prob: Any, samples: Any, x_train: np.ndarray
) -> tuple[float | None, str]:
    """Check honesty; return the test log-likelihood, or None, and a sentence.

    Args:
        asked: The points.
        box: They and practically all mass lie in [-box, box]^2.
        log_prob: What the student's function returned for them.
        samples: What the student's sampler returned.
        x_train: (N, 2), the training points, which are no samples.

    Returns:
        Nats per point of the density divided by its integral (so that no
        error that the test lets pass pays), and ""; or None and what is
        wrong.
    """
    wrong = _shape(log_prob, (len(asked.points),), "log_prob")
    wrong = wrong or _shape(samples, (SAMPLES, 2), "sample")
    if not wrong and not np.isfinite(samples).all():
        wrong = "sample returns NaN or infinity"
    if wrong:
        return None, wrong
    log_p = log_prob.astype(np.float64)
    if np.isnan(log_p).any() or np.isposinf(log_p).any():
        return None, "log_prob returns NaN or infinity"
    decoys = asked.points[~asked.is_test]
    with np.errstate(over="ignore"):
        mass = (asked.weights * np.exp(log_p))[~asked.is_test]
    outside = float((np.abs(samples) >= box).any(1).mean())
    integral = float(mass.mean()) + outside
    error = math.sqrt(
        mass.var() / len(mass) + outside * (1 - outside) / len(samples)
    )
    if not abs(integral - 1) <= DEVIATIONS * error:
        return None, "the density does not integrate to one"
    if error > SPIKES:
        return None, "the density has spikes: its integral cannot be checked"
    far = asked.far[~asked.is_test]
    wrong = _samples_disagree(decoys, far, mass, samples, box, x_train)
    if wrong:
        return None, wrong
    return float(log_p[asked.is_test].mean() - math.log(integral)), ""


def _shape(value: Any, shape: tuple[int, ...], name: str) -> str:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return f"{name} should return a floating-point tensor"
    if value.shape != shape:
        return f"{name} returns another shape than {shape}"
    return ""


def _samples_disagree(
    decoys: np.ndarray,
    far: np.ndarray,
    mass: np.ndarray,
    samples: np.ndarray,
    box: float,
    x_train: np.ndarray,
) -> str:
    """Compare counts of samples with the density's mass, cell by cell."""
    rows = {row.tobytes() for row in samples.astype(np.float32)}
    if len(rows) < len(samples) - len(samples) // 100:
        return "sample returns the same points again and again"
    train = {row.tobytes() for row in x_train.astype(np.float32)}
    if len(rows & train) > len(samples) // 100:
        return "sample returns training points"
    near = _nearest(samples, x_train)
    order = np.argsort(far)
    share = mass[order].cumsum() / mass.sum()
    edges = far[order][np.searchsorted(share, np.arange(1, RINGS) / RINGS)]
    places = [
        (_cell(decoys, box), _cell(samples, box), GRID**2 + 1),
        (
            _ring(decoys, far, edges, box),
            _ring(samples, near, edges, box),
            RINGS + 1,
        ),
    ]
    if any(_differ(mass, *place) for place in places):
        return "the samples do not follow the density"
    return ""


def _differ(
    mass: np.ndarray, of_decoys: np.ndarray, of_samples: np.ndarray, bins: int
) -> bool:
    """Compare what lies in each bin; the last bin is outside of the box."""
    total = len(of_samples)
    counts = np.bincount(of_samples, minlength=bins)
    # the mass of a bin is a mean over all decoys, 0 elsewhere
    n = len(mass)
    p = np.bincount(of_decoys, mass, bins) / n
    square = np.bincount(of_decoys, mass**2, bins) / n
    p_error = (square - p**2) / n
    p[-1] = max(0.0, 1 - p[:-1].sum())
    p_error[-1] = p_error[:-1].sum()
    variance = p * (1 - p) / total + p_error
    # a bin with few expected samples is joined with its like
    few = p * total < 10
    difference = counts / total - p
    terms = difference[~few] ** 2 / variance[~few]
    rest = difference[few].sum() ** 2
    statistic = terms.sum() + rest / (variance[few].sum() + 1 / total)
    k = len(terms) + 1
    # Wilson and Hilferty (1931): the cube root is nearly normal
    z = (statistic / k) ** (1 / 3) - (1 - 2 / (9 * k))
    return bool(z > DEVIATIONS * math.sqrt(2 / (9 * k)))


def _nearest(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others."""
    given = torch.from_numpy(x.astype(np.float64))
    to = torch.from_numpy(others.astype(np.float64))
    parts = [torch.cdist(part, to).amin(1) for part in given.split(1000)]
    return torch.cat(parts).numpy()


def _ring(
    x: np.ndarray, distance: np.ndarray, edges: np.ndarray, box: float
) -> np.ndarray:
    """Number of the ring of each point; the last one is outside."""
    inside = (np.abs(x) < box).all(1)
    return np.where(inside, np.searchsorted(edges, distance), RINGS)


def _cell(x: np.ndarray, box: float) -> np.ndarray:
    """Number of the grid's cell of each point; the last one is outside."""
    index = np.floor((x.astype(np.float64) + box) / (2 * box) * GRID)
    inside = ((index >= 0) & (index < GRID)).all(1)
    index = np.clip(index, 0, GRID - 1).astype(int)
    return np.where(inside, index[:, 0] * GRID + index[:, 1], GRID**2)
