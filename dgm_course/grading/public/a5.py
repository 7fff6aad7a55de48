"""Public checks of assignment 5, ELBO surgery and priors."""

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

LEVELS = (-2.85, -2.66, -2.59)  # nats per code of a5.q6, one point each
BOX = 5.0


def q1(gaussian_kl: Answer) -> None:
    """The standard normal costs nothing; a shift and a scale what they do."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    wide = 3 * (math.log(2) - 0.375)
    cases = [
        ("N(0, I)", zero, zero, 0.0),
        ("means of 2, D = 3", zero + 2, zero, 6.0),
        ("scales of 1/2, D = 3", zero, zero - math.log(2), wide),
    ]
    for name, mu, log_sigma, value in cases:
        same(f"KL for {name}", gaussian_kl(mu, log_sigma), double(value))


def q2(log_aggregated: Answer) -> None:
    """Equal posteriors are one; the density integrates to one; tails."""
    zero = torch.zeros(3, 1, dtype=torch.float64)
    at_mean = -0.5 * math.log(2 * math.pi)
    answer = log_aggregated(zero[:2], zero, zero)
    same("log q(0) of three standard normals", answer, double(at_mean, at_mean))
    mu, log_sigma = random(5, 1, seed=1), 0.3 * random(5, 1, seed=2)
    ticks = torch.linspace(-20, 20, 4001, dtype=torch.float64)[:, None]
    log_q = tensor("log q(z)", log_aggregated(ticks, mu, log_sigma), (4001,))
    same("the integral of q(z)", log_q.exp().sum() * 0.01, torch.tensor(1.0))
    answer = log_aggregated(zero[:1] + 100, zero, zero)
    same("log q(100) of three standard normals", answer, double(at_mean - 5000))


def q3(mutual_information: Answer) -> None:
    """Codes that tell nothing, all, and one bit."""
    equal = double([0.3, 0.7, 0], [0.3, 0.7, 0])
    half = double([1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0])
    cases = [
        ("equal rows, one state unused", equal, 0.0),
        ("the identity, n = 4", torch.eye(4).double(), math.log(4)),
        ("two pairs of equal points", half, math.log(2)),
    ]
    for name, table, value in cases:
        answers = pair("both forms", mutual_information(table))
        for which, answer in zip(("first", "second"), answers):
            expected = torch.tensor(value).double()
            same(f"{which} form for {name}", answer, expected)
    table = random(5, 7, seed=3).softmax(1)
    first, second = mutual_information(table)
    same("the second form beside your first", second, tensor("I", first, ()))


def q4(vamp_log_prob: Answer, encoder: Answer) -> None:
    """One pseudo-input is one Gaussian; copies change nothing; integral."""
    W, w, V, v = (  # noqa: N806, matrices
        random(*shape, seed=10 + i)
        for i, shape in enumerate([(1, 6), (1,), (1, 6), (1,)])
    )
    logits = random(3, 6, seed=20)
    z = random(4, 1, seed=21)
    one = vamp_log_prob(z, logits[:1], W, w, V, v)
    copies = vamp_log_prob(z, logits[:1].expand(7, -1), W, w, V, v)
    same(
        "seven equal pseudo-inputs beside one",
        copies,
        tensor("log p", one, (4,)),
    )
    ticks = torch.linspace(-30, 30, 6001, dtype=torch.float64)[:, None]
    log_p = tensor("log p", vamp_log_prob(ticks, logits, W, w, V, v), (6001,))
    same("the integral of p(z)", log_p.exp().sum() * 0.01, torch.tensor(1.0))
    black = vamp_log_prob(w[:, None], logits[:1] - 800, W, w, V, v)
    sigma = encoder(torch.zeros(1, 6).double(), W, w, V, v)[1]
    expected = -0.5 * math.log(2 * math.pi) - sigma[0]
    same("log p at the mean of a pseudo-input of black pixels", black, expected)


def q5(best_ar_prior: Answer) -> None:
    """One posterior is its own best prior; means on a line; a spread."""
    one, zero = double([1.0, -2.0]), torch.zeros(1, 2).double()
    answer = best_ar_prior(one, zero + math.log(3))
    for name, value, expected in zip(
        ("c", "B", "log s"),
        _three(answer),
        (one[0], torch.zeros(2, 2).double(), zero[0] + math.log(3)),
    ):
        same(
            f"{name} for one posterior, mean (1, -2), scales 3", value, expected
        )
    line = double([-2.0, -2.0], [2.0, 2.0])
    c, B, log_s = _three(best_ar_prior(line, torch.zeros(2, 2).double()))  # noqa: N806
    same("c for the means (-2, -2) and (2, 2), scales 1", c, zero[0])
    same("B there", B, double([0.0, 0], [0.8, 0]))
    same(
        "s^2 there", (2 * tensor("log s", log_s, (2,))).exp(), double(5.0, 1.8)
    )


def _three(answer: Any) -> tuple[Any, ...]:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Mismatch("expected c, B and log s, three tensors")
    return tuple(answer)


def q6(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits codes of other digits."""
    from ...data.toy import eight_gaussians

    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    mu = eight_gaussians(radius=1.6, sigma=0.3).sample(10_000)
    score(model, log_prob, mu + 0.1 * torch.randn_like(mu), LEVELS)


PARTS = [
    Part("a5.q1", 1, ("gaussian_kl",), q1),
    Part("a5.q2", 1, ("log_aggregated",), q2),
    Part("a5.q3", 2, ("mutual_information",), q3),
    Part("a5.w1", 2),
    Part("a5.q4", 1, ("vamp_log_prob",), q4, needs=("encoder",)),
    Part("a5.q5", 1, ("best_ar_prior",), q5),
    Part("a5.w2", 2),
    Part("a5.q6", 3, ("train", "log_prob", "sample"), q6, needs=("model",)),
]
