"""The public checks, one file an assignment: what any student may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# what a student writes, of which anything may come back
Answer = Callable[..., Any]


class Mismatch(Exception):
    """An answer is not what its check expects; the message says how."""


@dataclass(frozen=True)
class Part:
    """A question of an assignment, as the notebook sees it.

    Attributes:
        id: ``"a1.q1"``, or ``"a1.w1"`` for one that a person reads.
        points: What it is worth.
        functions: What the student writes. Empty: an answer in words.
        run: Called with these and with ``needs``; raises :class:`Mismatch`.
        needs: Other names of the notebook that the check looks at.
    """

    id: str
    points: float
    functions: tuple[str, ...] = ()
    run: Callable[..., None] | None = None
    needs: tuple[str, ...] = ()


def double(*values: Any) -> Tensor:
    """Make a float64 tensor of a row of numbers or of rows."""
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int) -> Tensor:
    """Draw standard normal numbers, float64, from a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def matrices(dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw the weights (dim, dim) and biases (dim,) of two layers."""
    A, a, C, c = (  # noqa: N806, matrices
        0.7 * random(*shape, seed=seed + i)
        for i, shape in enumerate([(dim, dim), (dim,), (dim, dim), (dim,)])
    )
    return A, a, C, c


def pair(what: str, answer: Any) -> tuple[Any, ...]:
    """Expect two values."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Mismatch(f"expected {what}, a pair; got {show(answer)}")
    return tuple(answer)


def tensor(what: str, answer: Any, shape: tuple[int, ...]) -> Tensor:
    """Expect a tensor of finite numbers with a shape."""
    if answer is None:
        raise Mismatch(f"{what}: not answered yet, None came back")
    if not isinstance(answer, Tensor):
        raise Mismatch(f"{what}: expected a tensor, got {show(answer)}")
    if tuple(answer.shape) != shape:
        raise Mismatch(
            f"{what}: expected the shape {shape}, got {tuple(answer.shape)}"
        )
    answer = answer.detach().double()
    if not answer.isfinite().all():
        raise Mismatch(f"{what}: expected finite numbers, got {show(answer)}")
    return answer


def same(what: str, answer: Any, expected: Tensor, rtol: float = 1e-6) -> None:
    """Expect a tensor, up to a relative tolerance of its largest entry."""
    answer = tensor(what, answer, tuple(expected.shape))
    size = expected.abs().max().clamp(min=1.0)
    if (answer - expected).abs().max() > rtol * size:
        raise Mismatch(f"{what}: expected {show(expected)}, got {show(answer)}")


def show(value: Any) -> str:
    """Print an answer on one line, cut where it is long."""
    if isinstance(value, Tensor):
        flat = value.detach().flatten().tolist()
        text = ", ".join(f"{v:.6g}" for v in flat[:6])
        dots = ", ..." if len(flat) > 6 else ""
        return f"[{text}{dots}] of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def density(model: Any, log_prob: Answer, sample: Answer, box: float) -> None:
    """Expect a density on the plane that integrates to one, and a sampler.

    Args:
        model: What the student's ``train`` returned.
        log_prob: ``log_prob(model, points)`` in nats.
        sample: ``sample(model, n)``.
        box: The mass outside of [-box, box]^2 is negligible.
    """
    if model is None:
        raise Mismatch("not answered yet: train returned None")
    points = 400
    ticks = (torch.arange(points) + 0.5) * (2 * box / points) - box
    grid = torch.cartesian_prod(ticks, ticks)
    with torch.no_grad():
        parts = [log_prob(model, part) for part in grid.split(1 << 15)]
        log_p = torch.cat(
            [
                tensor("log_prob(model, points)", p, (len(g),))
                for p, g in zip(parts, grid.split(1 << 15))
            ]
        )
        total = log_p.exp().sum().item() * (2 * box / points) ** 2
        drawn = tensor("sample(model, 500)", sample(model, 500), (500, 2))
    if abs(total - 1) > 0.03:
        raise Mismatch(
            f"log_prob: expected a density whose integral over "
            f"[{-box:g}, {box:g}]^2 is one, got {total:.3f}"
        )
    inside = (drawn.abs() <= box).all(1).double().mean().item()
    if inside < 0.97:
        raise Mismatch(
            f"sample: expected points in [{-box:g}, {box:g}]^2, where the "
            f"data are; {inside:.0%} of 500 were"
        )


def score(
    model: Any, log_prob: Answer, points: Tensor, marks: tuple[float, ...]
) -> None:
    """Print the mean log-likelihood of public points beside the marks."""
    with torch.no_grad():
        answer = log_prob(model, points)
    mean = tensor("log_prob(model, points)", answer, (len(points),)).mean()
    reached = sum(mean.item() >= mark for mark in marks)
    text = ", ".join(f"{mark:.2f}" for mark in marks)
    print(
        f"  mean log-likelihood on fresh points {mean:.3f} nats; one point "
        f"each at {text}: {reached} of {len(marks)} here"
    )
    if reached == 0:
        raise Mismatch(f"expected at least {marks[0]:.2f} nats, got {mean:.3f}")
