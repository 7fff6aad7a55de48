"""Public checks of assignment 4, Parallel WaveNet."""

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
    random,
    same,
    score,
    tensor,
)

LEVELS = (-2.78, -2.32, -1.93)  # nats per sound of a4.q6, one point each
BOX = 6.0


def q1(receptive_field: Answer) -> None:
    """Stacks that can be counted by hand."""
    for taps, dilations, right in (
        ((2, 2, 2, 2), (1, 2, 4, 8), 16),
        ((3, 2), (1, 3), 6),
        ((1,), (5,), 1),
    ):
        answer = receptive_field(torch.tensor(taps), torch.tensor(dilations))
        if answer != right:
            raise Mismatch(
                f"taps {taps}, dilations {dilations}: expected {right}, got "
                f"{answer}"
            )


def q2(log_level: Answer) -> None:
    """A symmetric case; all levels sum to one; a sample 1,000 scales out."""
    zero = torch.zeros(2, 1, dtype=torch.float64)
    two = torch.tensor([0, 1])
    same(
        "log P of both levels of two, mean 0",
        log_level(two, zero, zero, zero, 2),
        torch.full((2,), -math.log(2)).double(),
    )
    parameters = [random(1, 3, seed=i).expand(256, -1) for i in range(3)]
    answer = log_level(torch.arange(256), *parameters, 256)
    log_p = tensor("log P of 256 levels", answer, (256,))
    same("the sum of their probabilities", log_p.exp().sum(), double(1.0)[0])
    scale = torch.full((1, 1), math.log(1e-3)).double()
    far = log_level(torch.tensor([0]), zero[:1], zero[:1], scale, 3)
    same("log P(0) of three levels, mean 0, scale 0.001", far, double(-500.0))


def q3(gated_layer: Answer) -> None:
    """Filters that pick one sample; nothing later is seen."""
    h = torch.zeros(1, 1, 6, dtype=torch.float64)
    h[..., 2] = 1.0
    pick, none = double(1.0, 0.0).view(1, 1, 2), double(0.0, 0.0).view(1, 1, 2)
    expected = h.clone()
    expected[..., 4] = math.tanh(1) / 2
    answer = gated_layer(h, pick, none, 2)
    same("an impulse at time 2, W_f = (1, 0), W_g = 0, d = 2", answer, expected)
    filters = random(2, 2, 3, seed=40), random(2, 2, 3, seed=41)
    x = random(2, 2, 12, seed=42)
    cut = gated_layer(x[..., :7], *filters, 2)
    whole = tensor("a layer", gated_layer(x, *filters, 2), (2, 2, 12))
    same("the layer on the first 7 of 12 samples", cut, whole[..., :7])


def q4(student: Answer) -> None:
    """Constant scales; then x = m + exp(s) z, with m and s from the past."""
    z, zero = random(2, 4, seed=50), torch.zeros(1).double()
    for name, value, right in zip(
        ("the sound", "the means", "the log-scales"),
        _three(student(z, [(zero, zero)])),
        (z, 0 * z, 0 * z),
    ):
        same(f"{name} of a step with weights 0", value, right)
    steps = [(random(2, seed=51 + i), random(2, seed=61 + i)) for i in range(3)]
    x, m, s = _three(student(z, steps))
    m, s = tensor("the means", m, (2, 4)), tensor("the log-scales", s, (2, 4))
    same("the sound beside your m + exp(s) z", x, m + s.exp() * z)
    other = z.clone()
    other[:, 2] += 1
    _, means, log_scales = _three(student(other, steps))
    same("m up to time 2 after z_2 changed", means[:, :3], m[:, :3])
    same("s up to time 2 after z_2 changed", log_scales[:, :3], s[:, :3])


def q5(kl_estimate: Answer) -> None:
    """A student that is its teacher has none, in the mean over a grid."""
    u = (torch.arange(20_000).double() + 0.5) / 20_000
    noise = torch.logit(u)[:, None, None].expand(-1, 1, 2)
    taps, zero = double(0.5), torch.zeros(1, 2, dtype=torch.float64)
    x = double([1.0, 3.0])
    m = double([0.0, 0.5])
    answer = kl_estimate(x, m, zero, noise, taps, 0.0, 0.0)
    nothing = torch.zeros(1).double()
    same("KL of equal conditionals", answer, nothing, rtol=1e-3)
    answer = kl_estimate(x, m, zero - 4, noise, taps, 50.0, -4.0)
    far = kl_estimate(x, m + 50, zero - 4, noise, taps, 50.0, -4.0)
    same(
        "KL of a student at one of two modes",
        far,
        2 * math.log(2) + nothing,
        rtol=1e-3,
    )
    if not (tensor("KL between the modes", answer, (1,)) > 1000).all():
        raise Mismatch(
            "KL of a narrow student between two narrow modes: expected more "
            "than 1000 nats"
        )


def _three(answer: Any) -> tuple[Any, ...]:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Mismatch("expected the sound, the means and the log-scales")
    return tuple(answer)


def q6(train: Answer, log_prob: Answer, sample: Answer, model: Any) -> None:
    """An honest density, and how well it fits fresh sounds."""
    density(model, log_prob, sample, BOX)
    torch.manual_seed(1)
    u, sign = torch.rand(10_000, 2), torch.randint(2, (10_000, 2)) * 2 - 1
    noise = torch.logit(u, eps=1e-6)
    first = 1.5 * sign[:, 0] + 0.25 * noise[:, 0]
    second = 1.2 * torch.sin(2 * first) + 0.6 * sign[:, 1] + 0.1 * noise[:, 1]
    score(model, log_prob, torch.stack([first, second], 1), LEVELS)


PARTS = [
    Part("a4.q1", 1, ("receptive_field",), q1),
    Part("a4.q2", 2, ("log_level",), q2),
    Part("a4.q3", 1, ("gated_layer",), q3),
    Part("a4.w1", 2),
    Part("a4.q4", 1, ("student",), q4),
    Part("a4.q5", 1, ("kl_estimate",), q5),
    Part("a4.w2", 2),
    Part("a4.q6", 3, ("train", "log_prob", "sample"), q6, needs=("model",)),
]
