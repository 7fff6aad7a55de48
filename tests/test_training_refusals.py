"""fit(): what it refuses, and what numbers and memory make it stop."""

import math

import pytest
import torch
from support.runs import (
    CPU,
    assert_same,
    model,
    on_a_device_for,
    points,
    weights,
)
from torch import nn

from dgm_course.training import NonFiniteLoss, evaluate, fit


@pytest.mark.parametrize(
    "option",
    [
        {"steps": -5},
        {"warmup": -1},
        {"accumulate": 0},
        {"evaluate_every": 0},
        {"lr": math.inf},
        {"lr": -1.0},
        {"clip": -1.0},
        {"clip": math.nan},
        {"ema": math.nan},
        {"ema": 1.0},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(option):
    m, ((name, value),) = model(), option.items()
    before = [p.clone() for p in m.parameters()]
    with pytest.raises(ValueError, match=f"{name} = {value}; expected"):
        fit(m, points(), **{"steps": 2, **CPU, **option})
    assert all(map(torch.equal, before, m.parameters()))


@pytest.mark.parametrize("minutes", [-1, math.nan])
def test_a_budget_that_is_none_is_refused(minutes):
    with pytest.raises(
        ValueError, match=f"minutes = {minutes}; expected at least 0"
    ):
        fit(model(), points(), steps=2, minutes=minutes, **CPU)


def test_where_a_row_is_too_much_the_error_says_so():
    with pytest.raises(MemoryError, match="a single row at a time; take"):
        fit(model(), points(), on_a_device_for(0), steps=1, **CPU)
    with pytest.raises(MemoryError, match="let it draw fewer"):
        fit(
            model(),
            None,
            lambda *_: on_a_device_for(0)(model(), points(), 0),
            steps=1,
            **CPU,
        )


def test_evaluation_on_too_small_a_device_names_the_setting():
    with pytest.raises(MemoryError, match="batch_size=500; give a smaller"):
        evaluate(model(), points(), on_a_device_for(10))
    assert evaluate(model(), points(), on_a_device_for(10), 10)[0] > 0


def test_non_finite_loss_names_the_batch_and_keeps_the_weights():
    m, before = model(), {}

    def loss(module, batch, step):
        values = -module.log_prob(batch)
        if step == 3:
            before.update(weights(module))
            values = values * torch.where(torch.arange(16) == 5, torch.nan, 1)
        return values

    with pytest.raises(
        NonFiniteLoss,
        match=r"step 3 \(epoch 0, batch 3 of 4, rows \[.*1 of 16 values",
    ):
        fit(m, points(), loss, steps=9, batch_size=16, **CPU)
    assert_same(before, weights(m))


@pytest.mark.parametrize("clip", [None, 1.0])
def test_non_finite_gradient_is_caught_before_the_update(clip):
    m = model()
    before = weights(m)

    def loss(module, batch, step):
        x = module.flow.flows[0].shift.sum() * 0
        return x.sqrt() + torch.zeros(len(batch))  # value 0, slope infinite

    with pytest.raises(NonFiniteLoss, match=r"gradient.*of flow.*shift"):
        fit(m, points(), loss, steps=1, clip=clip, **CPU)
    assert_same(before, weights(m))


def test_gradient_that_overflows_is_caught():
    """Its squares would be infinite in Adam's memory, for ever."""
    m = model()
    before = weights(m)
    with pytest.raises(NonFiniteLoss, match="gradient is not finite"):
        fit(m, points(), lambda m, x, s: 1e25 * m.log_prob(x), steps=1, **CPU)
    assert_same(before, weights(m))


def test_averaged_loss_is_refused():
    with pytest.raises(ValueError, match=r"shape \(\); return one value per"):
        fit(
            model(),
            points(),
            lambda m, x, s: m.log_prob(x).mean(),
            steps=1,
            **CPU,
        )


def test_averaged_reverse_kl_is_refused():
    def loss(module, batch, step):
        return module.rsample_and_log_prob(8)[1].mean()

    with pytest.raises(ValueError, match=r"shape \(\); return one value per"):
        fit(model(), None, loss, steps=1, **CPU)


def test_impossible_device_and_batch_size_are_refused():
    with pytest.raises(ValueError, match="'nonsense' cannot be used here"):
        fit(model(), points(), steps=1, device="nonsense", progress=False)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        fit(model(), points(), steps=1, batch_size=0, **CPU)


def test_model_without_a_loss_is_refused():
    with pytest.raises(TypeError, match="Linear has no loss"):
        fit(nn.Linear(3, 3), points(), steps=1, **CPU)
