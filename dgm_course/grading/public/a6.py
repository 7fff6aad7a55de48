"""Public checks of assignment 6, flow posteriors and the beta-VAE."""

from __future__ import annotations

import math
from typing import Any

import torch

from . import (
    Answer,
    Mismatch,
    Part,
    density,
    double,
    pair,
    random,
    same,
    score,
    tensor,
)

LEVELS = (-2.43, -2.07, -1.84)  # nats per point of a6.q6, one point each
BOX = 6.0


def q1(flow_elbo: Answer) -> None:
    """No maps; two maps that double the volume."""
    parts = [random(3, seed=i) for i in range(3)]
    total = parts[0] + parts[1] - parts[2]
    answer = flow_elbo(*parts, torch.zeros(1, 3).double())
    same("the ELBO with a map that keeps volume", answer, total)
    # z_0 ~ N(0, 1) and z = 4 z_0: q(0) is a quarter of the normal's
    at_zero = double(-0.5 * math.log(2 * math.pi))
    maps = torch.full((2, 1), math.log(2)).double()
    answer = flow_elbo(0 * at_zero, 0 * at_zero, at_zero, maps)
    same("-log q(0) of N(0, 16)", answer, -at_zero + math.log(4))


def q2(sylvester: Answer) -> None:
    """A direction that is known; then the Jacobian of your own x."""
    z, one = double([0.5, 2.0]), double([0.5])
    mirror = double([1.0, -1.0])  # exchanges the coordinates
    x, ladj = pair(
        "x and the log-determinant", sylvester(z, mirror, one, one, one[0])
    )
    t = math.tanh(0.5 * 2 + 0.5)
    same("x for v = (1, -1), R = S = b = 1/2", x, double([0.5, 2 + t / 2]))
    same("its log-determinant", ladj, double(math.log1p((1 - t**2) / 4)))
    R, S = (0.6 * random(2, 2, seed=70 + i).triu() for i in range(2))  # noqa: N806
    rest = random(3, 4, seed=72), R, S, random(2, seed=73)
    z = random(5, 4, seed=74)
    answer = pair("x and the log-determinant", sylvester(z, *rest))
    tensor("x", answer[0], (5, 4))
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda row: sylvester(row[None], *rest)[0][0])
    )(z)
    same(
        "the log-determinant beside that of your x by autograd",
        answer[1],
        torch.linalg.slogdet(jacobian)[1],
    )


def q3(iaf: Answer) -> None:
    """One step without weights; then the Jacobian, and the context."""
    z, h = double([2.0, 4.0]), double([1.0])
    nothing, half = torch.zeros(2, 2).double(), torch.zeros(2, 1).double()
    steps = [(nothing, half + 6, nothing, half)]
    value, ladj = pair("z and the log-determinant", iaf(z, h, steps))
    same("z for m = 6 and gates of 1/2", value, double([4.0, 5.0]))
    same("its log-determinant", ladj, double(-2 * math.log(2)))
    value, _ = pair("z and the log-determinant", iaf(z, h, 2 * steps))
    same("z after two of these steps", value, double([5.5, 5.0]))
    z, h = random(4, 3, seed=80), random(4, 2, seed=81)
    chain = [
        tuple(
            random(3, columns, seed=82 + 4 * i + j)
            for j, columns in enumerate((3, 2, 3, 2))
        )
        for i in range(2)
    ]
    _, ladj = pair("z and the log-determinant", iaf(z, h, chain))
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda v, row=row: iaf(v[None], row[None], chain)[0][0], start
            )
            for start, row in zip(z, h)
        ]
    )
    same(
        "the log-determinant beside that of your z by autograd",
        ladj,
        torch.linalg.slogdet(jacobian)[1],
    )


def q4(three_parts: Answer) -> None:
    """Posteriors like the prior; posteriors far apart; the sum is the KL."""
    z = random(4, 2, seed=90)
    zero = torch.zeros(4, 2).double()
    for name, value in zip(NAMES, _three(three_parts(z, zero, zero))):
        same(f"{name} if all posteriors are the prior", value, double(0.0)[0])
    line = 100 * torch.arange(5).double()[:, None]
    far = torch.cat([line, line], 1)
    found = _three(three_parts(far, far, torch.zeros(5, 2).double()))
    same("I for five posteriors far apart", found[0], double(math.log(5))[0])
    same("the total correlation on a line", found[1], double(math.log(5))[0])
    mu, log_sigma = random(6, 3, seed=91), random(6, 3, seed=92) - 1
    z = mu + log_sigma.exp() * random(6, 3, seed=93)
    normal = torch.distributions.Normal
    ratio = normal(mu, log_sigma.exp()).log_prob(z) - normal(0.0, 1.0).log_prob(
        z
    )
    found = _three(three_parts(z, mu, log_sigma))
    parts = [tensor(name, value, ()) for name, value in zip(NAMES, found)]
    total = torch.stack(parts).sum()
    same("the sum of the three parts", total, ratio.sum(1).mean())


NAMES = ("the mutual information", "the total correlation", "the third part")


def _three(answer: Any) -> tuple[Any, ...]:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Mismatch("expected three tensors, one for each part")
    return tuple(answer)


def q5(information_gaps: Answer) -> None:
    """Units that are the factors, in any order; copies; a dead unit."""
    factors = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    ideal = factors.double()
    one = torch.ones(2).double()
    same("gaps of the factors", information_gaps(ideal, factors, 12), one)
    same(
        "gaps of the factors, exchanged and scaled",
        information_gaps(-3 * ideal.flip(1), factors, 12),
        one,
    )
    both = torch.cat([ideal, ideal], 1)
    same(
        "gaps of two copies of each",
        information_gaps(both, factors, 12),
        0 * one,
    )
    faint = torch.cat([ideal, 1e-3 * ideal], 1)
    same("gaps beside dead copies", information_gaps(faint, factors, 12), one)
    alone = torch.stack([ideal[:, 0], 5 * ideal[:, 0] + ideal[:, 1]], 1)
    found = information_gaps(alone, factors, 100)
    same("a unit with both factors beside one", found, double(0.0, 1.0))


def q6(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits fresh samples."""
    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    z = torch.randn(400_000, 2)
    misfit = (1.0 - z.prod(1)) / 0.3
    kept = z[torch.rand(len(z)) < torch.exp(-misfit.square() / 2)][:10_000]
    score(model, log_prob, kept, LEVELS)


PARTS = [
    Part("a6.q1", 1, ("flow_elbo",), q1),
    Part("a6.q2", 2, ("sylvester",), q2),
    Part("a6.w1", 2),
    Part("a6.q3", 1, ("iaf",), q3),
    Part("a6.q4", 1, ("three_parts",), q4),
    Part("a6.q5", 1, ("information_gaps",), q5),
    Part("a6.w2", 2),
    Part("a6.q6", 3, ("train", "log_prob", "sample"), q6, needs=("model",)),
]
