"""Public checks of assignment 3, autoregressive flows."""

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
    matrices,
    pair,
    random,
    same,
    score,
    tensor,
)

LEVELS = (-3.02, -2.75, -2.57)  # nats per point of a3.q7, one point each
BOX = 5.0


def q1(ar_log_prob: Answer) -> None:
    """A standard normal, and a shifted and scaled one."""
    zero = torch.zeros(1, 2, dtype=torch.float64)
    at_mean = -math.log(2 * math.pi)
    answer = ar_log_prob(zero, zero, zero)
    same("log p(0) for means 0, scales 1, D = 2", answer, double(at_mean))
    answer = ar_log_prob(zero + 3, zero + 3, zero + math.log(2))
    expected = double(at_mean - 2 * math.log(2))
    same("log p at the means, scales 2, D = 2", answer, expected)
    answer = ar_log_prob(zero + 2, zero, zero)
    same("log p((2, 2)), means 0, scales 1", answer, double(at_mean - 4))


def q2(made_masks: Answer) -> None:
    """What Theorem 4.2 says of the product, and that enough paths stay."""
    inputs = torch.tensor([2, 1, 3])
    hidden = [torch.tensor([1, 2, 2, 1]), torch.tensor([1, 1, 2, 2, 2])]
    masks = made_masks(inputs, hidden)
    if not isinstance(masks, list | tuple) or len(masks) != 3:
        raise Mismatch("expected a list of three masks for two hidden layers")
    shapes = [(4, 3), (5, 4), (3, 5)]
    first, second, third = (
        tensor(f"mask {i}", torch.as_tensor(m) * 1.0, shape)
        for i, (m, shape) in enumerate(zip(masks, shapes), 1)
    )
    paths = third @ second @ first
    same(
        "paths from inputs (columns) to outputs (rows) with the degrees "
        "2, 1, 3",
        paths,
        torch.tensor([[0.0, 4, 0], [0, 0, 0], [6, 16, 0]]).double(),
    )


def q3(maf_forward: Answer) -> None:
    """A conditioner that sees nothing; ladj beside autograd's Jacobian."""
    x = random(3, 2, seed=1)
    zero, shift = torch.zeros(2, 2).double(), double(1.0, -2.0)
    z, ladj = pair(
        "z and ladj", maf_forward(x, zero, shift, zero, torch.zeros(2).double())
    )
    same("z for means 1 and -2, scales 1", z, x - shift)
    same("ladj for scales 1", ladj, torch.zeros(3).double())
    numbers = matrices(3, seed=2)
    x = random(4, 3, seed=6)
    _, ladj = maf_forward(x, *numbers)
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda row: maf_forward(row[None], *numbers)[0][0], row
            )
            for row in x
        ]
    )
    same(
        "the Jacobian of your z above its diagonal",
        jacobian.triu(1),
        torch.zeros_like(jacobian),
    )
    same("ladj, beside slogdet of it", ladj, jacobian.slogdet().logabsdet)


def q4(maf_inverse: Answer, maf_forward: Answer) -> None:
    """Forward and back is nothing, and the two ladj cancel."""
    numbers = matrices(5, seed=10)
    x = random(6, 5, seed=14)
    z, ladj = pair("z and ladj of maf_forward", maf_forward(x, *numbers))
    tensor("z of maf_forward", z, (6, 5))
    back, ladj_back = pair("x and ladj", maf_inverse(z, *numbers))
    same("x after your forward and back", back, x)
    same(
        "sum of the two ladj", tensor("ladj", ladj_back, (6,)) + ladj, 0 * ladj
    )


def q5(iaf_sample: Answer) -> None:
    """The first column sees nothing; log p beside autograd's Jacobian."""
    numbers = matrices(3, seed=20)
    z = random(4, 3, seed=24)
    x, log_p = pair("x and log p(x)", iaf_sample(z, *numbers))
    tensor("x", x, (4, 3))
    first = numbers[3][0].tanh().exp() * z[:, 0] + numbers[1][0]
    same("the first column of x", x[:, 0], first)
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda row: iaf_sample(row[None], *numbers)[0][0], row
            )
            for row in z
        ]
    )
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    expected = normal - jacobian.slogdet().logabsdet
    same("log p(x), by the Jacobian of your x", log_p, expected)


def q6(forward_kl: Answer) -> None:
    """A perfect flow costs nothing; a shift and a scale cost what they do."""
    one = torch.eye(2).double()
    cases = [
        ("a perfect model", double(0.0, 0.0), one, one, 0.0),
        ("a mean that is off by (1, 2)", double(1.0, 2.0), one, one, 2.5),
        ("scales that are twice too large", double(0.0, 0.0), one, one / 2,
         2 * math.log(2) - 0.75),
    ]  # fmt: skip
    for name, m, covariance, flow, value in cases:
        answer = forward_kl(m, covariance, flow, torch.zeros(2).double())
        same(f"the divergence of {name}", answer, torch.tensor(value).double())


def q7(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits."""
    from ...data.toy import two_moons

    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    score(model, log_prob, two_moons().sample(10_000), LEVELS)


PARTS = [
    Part("a3.q1", 1, ("ar_log_prob",), q1),
    Part("a3.q2", 1, ("made_masks",), q2),
    Part("a3.w1", 2),
    Part("a3.q3", 1, ("maf_forward",), q3),
    Part("a3.q4", 1, ("maf_inverse",), q4, needs=("maf_forward",)),
    Part("a3.q5", 1, ("iaf_sample",), q5),
    Part("a3.q6", 1, ("forward_kl",), q6),
    Part("a3.w2", 2),
    Part("a3.q7", 3, ("train", "log_prob", "sample"), q7, needs=("model",)),
]
