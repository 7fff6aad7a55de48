"""Public checks of assignment 1, dequantization."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from . import Answer, Part, density, double, pair, random, same, score, tensor

LEVELS = (-5.3, -5.1, -4.94)  # nats per point of a1.q6, one point each
BOX = 14.0


def q1(bits_per_dim: Answer) -> None:
    """A uniform model over L levels needs log2 L bits."""
    what = "bits of a uniform model over {} levels"
    for levels, bits in ((256, 8.0), (2, 1.0)):
        answer = bits_per_dim(double(0.0), 3, levels)
        same(what.format(levels), answer, double(bits))
    answer = bits_per_dim(double(3 * math.log(2)), 3, 4)
    same("bits where p' = 2^3, D = 3, L = 4", answer, double(1.0))


def q2(iw_bound: Answer) -> None:
    """Ratios 1 and 3 have the mean 2, wherever they are."""
    for level in (0.0, -5000.0, 5000.0):
        log_p = double([level], [level + math.log(3)])
        answer = iw_bound(log_p, torch.zeros_like(log_p))
        same(
            f"bound for log p = {level:g} and {level:g} + log 3, q uniform",
            answer,
            double(level + math.log(2)),
            rtol=1e-9,
        )
    log_q = random(4, 3, seed=0)
    same(
        "bound where p = 2 q for all samples",
        iw_bound(log_q + math.log(2), log_q),
        torch.full((3,), math.log(2)).double(),
    )


def _mixture(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    log_w = random(*shape, seed=seed).log_softmax(-1)
    m, log_s = 2 * random(*shape, seed=seed + 1), random(*shape, seed=seed + 2)
    return log_w, m, 0.3 * log_s


def q3(mixlog_forward: Answer) -> None:
    """One component is an affine map; ladj is the slope; tails are finite."""
    x, a, b = (random(4, 2, seed=i) for i in (10, 11, 12))
    m, log_s = random(4, 2, 1, seed=13), random(4, 2, 1, seed=14)
    zero = torch.zeros_like(x)
    z, ladj = pair(
        "z and ladj", mixlog_forward(x, torch.zeros_like(m), m, log_s, zero, b)
    )
    alone = (x - m[..., 0]) * (-log_s[..., 0]).exp()
    same("z for one component and a = 0", z, alone + b)
    same("ladj for one component and a = 0", ladj, -log_s.sum((1, 2)))
    x = x.requires_grad_()
    z, ladj = mixlog_forward(x, *_mixture(4, 2, 3, seed=20), a, b)
    (slope,) = torch.autograd.grad(z.sum(), x)
    same("ladj, beside autograd's slope of your z", ladj, slope.log().sum(1))
    far = double([60.0], [-60.0])
    flat = torch.zeros_like(far)
    w = torch.zeros(2, 1, 1, dtype=torch.float64)
    z, _ = mixlog_forward(far, w, w, w, flat, flat)
    same("z of x = 60 and -60 for a standard logistic", z, far)


def q4(mixlog_inverse: Answer, mixlog_forward: Answer) -> None:
    """Forward and back is nothing, and the two ladj cancel."""
    x, a, b = (2 * random(5, 3, seed=i) for i in (30, 31, 32))
    mixture = _mixture(5, 3, 4, seed=33)
    z, ladj = pair(
        "z and ladj of mixlog_forward", mixlog_forward(x, *mixture, a, b)
    )
    tensor("z of mixlog_forward", z, (5, 3))
    back, ladj_back = pair("x and ladj", mixlog_inverse(z, *mixture, a, b))
    same("x after your forward and back", back, x)
    same(
        "sum of the two ladj", tensor("ladj", ladj_back, (5,)) + ladj, 0 * ladj
    )


def q5(tight_noise: Answer) -> None:
    """One logistic: the numbers of a table; any mixture: one constant."""
    one = torch.zeros(1, dtype=torch.float64)
    v = double(0.25, 0.5, 0.75)
    answer = tight_noise(0 * v, v, one, one + 0.2, one - 1.0)
    u, log_q = pair("u and log q(u|x)", answer)
    expected = double(0.199985249, 0.399968263, 0.634808613)
    same("u at v = 1/4, 1/2, 3/4 for one logistic", u, expected)
    expected = double(0.247433281, 0.174458039, -0.083192330)
    same("log q(u|x) there", log_q, expected)


def q6(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits."""
    from ...data.toy import two_moons

    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    x = (3 * two_moons().sample(10_000)).floor().clamp(-12, 11)
    score(model, log_prob, x + torch.rand_like(x), LEVELS)


PARTS = [
    Part("a1.w1", 2),
    Part("a1.q1", 1, ("bits_per_dim",), q1),
    Part("a1.q2", 1, ("iw_bound",), q2),
    Part("a1.q3", 2, ("mixlog_forward",), q3),
    Part("a1.q4", 1, ("mixlog_inverse",), q4, needs=("mixlog_forward",)),
    Part("a1.q5", 1, ("tight_noise",), q5),
    Part("a1.w2", 2),
    Part("a1.q6", 3, ("train", "log_prob", "sample"), q6, needs=("model",)),
]
