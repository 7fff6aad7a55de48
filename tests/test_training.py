"""fit(): what it computes, from which data and losses."""

import math

import pytest
import torch
from support import randomize
from support.runs import (
    CPU,
    assert_same,
    model,
    noisy_loss,
    on_a_device_for,
    points,
    weights,
)
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dgm_course import checkpoint, flows, training
from dgm_course.batches import Batches
from dgm_course.history import History
from dgm_course.training import evaluate, fit


def test_loss_falls_and_history_knows_its_error():
    history = fit(model(), points(), steps=200, batch_size=32, lr=1e-2, **CPU)
    assert history.loss.mean[-1] < history.loss.mean[0]
    assert history.loss.step[-1] == 200 and history.stopped == "finished"
    assert all(se > 0 for se in history.loss.se)
    assert history.seconds > 0 and "cpu" in history.device
    assert History.from_dict(history.to_dict()) == history


def test_one_step_is_adam_on_the_mean_loss():
    ours, bare = model(), model()
    batches = Batches(points(), 32, 0, torch.device("cpu"))
    fit(ours, points(), steps=3, batch_size=32, lr=1e-2, **CPU)
    adam = torch.optim.Adam(bare.parameters(), lr=1e-2, fused=True)
    for step in range(3):
        adam.zero_grad()
        (-bare.log_prob(points()[batches.index(step)])).mean().backward()
        adam.step()
    assert_same(weights(ours), weights(bare))


def test_epochs_visit_every_row_once_in_a_new_order():
    batches = Batches(points(10), 5, 3, torch.device("cpu"))
    first = torch.cat([batches.index(0), batches.index(1)])
    second = torch.cat([batches.index(2), batches.index(3)])
    assert first.sort().values.tolist() == list(range(10))
    assert second.sort().values.tolist() == list(range(10))
    assert first.tolist() != second.tolist()
    assert batches.index(1).tolist() == first[5:].tolist()  # random access


def test_pixels_stay_bytes():
    seen = []

    def loss(model, batch, step):
        seen.append(batch.dtype)
        return -model.log_prob(batch.float())

    pixels = torch.randint(0, 256, (16, 3), dtype=torch.uint8)
    fit(model(), pixels, loss, steps=2, batch_size=8, **CPU)
    assert seen == [torch.uint8] * 2


def test_several_tensors_make_a_tuple():
    def loss(model, batch, step):
        x, w = batch
        return -w * model.log_prob(x)

    fit(model(), (points(16), torch.ones(16)), loss, steps=2, **CPU)
    with pytest.raises(ValueError, match=r"lengths \[16, 15\]"):
        fit(model(), (points(16), torch.ones(15)), loss, steps=2, **CPU)
    with pytest.raises(ValueError, match="lengths"):
        fit(model(), points(0), steps=2, **CPU)


def test_the_default_loss_hands_a_tuple_on_as_arguments():
    torch.manual_seed(0)
    flow = flows.realnvp(3, layers=2, hidden=(8,), context=2)
    x, context = points(16), torch.randn(16, 2)
    loss = training.default_loss(flow, (x, context), 0)
    assert torch.equal(loss, -flow.log_prob(x, context))
    assert fit(flow, (x, context), steps=2, **CPU).stopped == "finished"


def test_arrays_and_tensor_datasets_are_data():
    x = points()
    kinds = x, x.numpy(), TensorDataset(x), [x.numpy()]
    losses = [fit(model(), data, steps=3, **CPU).loss.mean for data in kinds]
    assert losses == [losses[0]] * 4
    for data in (DataLoader(x), "points", [[0.0, 1.0]]):
        with pytest.raises(TypeError, match="expected a tensor, several"):
            fit(model(), data, steps=3, **CPU)


def test_reverse_kl_needs_no_data():
    def loss(model, batch, step):
        assert batch is None
        x, log_p = model.rsample_and_log_prob(128)
        return log_p + 0.5 * (x - 2).square().sum(1)

    m = model()
    fit(m, None, loss, steps=300, lr=2e-2, **CPU)
    mean = m.sample(4000).mean(0)
    assert (mean - 2).abs().max() < 0.3


def test_accumulation_equals_one_large_batch():
    a, b = model().double(), model().double()
    data = points().double()
    fit(a, data, steps=5, batch_size=32, **CPU)
    fit(b, data, steps=5, batch_size=32, accumulate=4, **CPU)
    for key, value in weights(a).items():
        # Adam divides by a gradient's size: rounding of 1e-16 may grow
        torch.testing.assert_close(
            b.state_dict()[key], value, rtol=1e-9, atol=1e-9
        )


def test_where_memory_is_short_a_batch_comes_in_more_parts(capsys):
    small, large = model().double(), model().double()
    data, kw = points().double(), dict(steps=3, batch_size=32, **CPU)
    one = fit(small, data, on_a_device_for(10), **kw)
    other = fit(large, data, accumulate=4, **kw)
    assert_same(weights(small), weights(large))
    assert one.loss == other.loss  # no row is counted twice
    out = capsys.readouterr().out
    assert "in 2 parts" in out and out.count("accumulate=4") == 1


class Slope(nn.Module):
    """A loss whose gradient is known: the mean of w x has the slope mean x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def loss(self, x):
        return self.w * x[:, 0]


@pytest.mark.parametrize("accumulate", [2, 3, 4, 10])
def test_unequal_parts_of_a_batch_weigh_what_they_hold(accumulate):
    x, m = torch.arange(10.0)[:, None], Slope()
    fit(m, x, steps=1, batch_size=10, accumulate=accumulate, **CPU)
    assert m.w.grad.item() == pytest.approx(4.5, rel=1e-6)


def test_clip_bounds_the_gradient():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3))

        def loss(self, x):
            return 1e6 * ((x - self.w) ** 2).sum(1)

    m = Mean()
    fit(m, points(), steps=1, **CPU)
    assert m.w.grad.norm() > 10
    fit(m, points(), steps=1, clip=1.0, **CPU)
    assert m.w.grad.norm() <= 1 + 1e-5


def test_schedule():
    factors = [training._schedule(s, 100, 10, True) for s in range(100)]
    assert factors[0] == 0.1 and factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5) and factors[99] < 1e-3
    assert training._schedule(50, 100, 0, False) == 1.0


def test_fit_follows_the_schedule(monkeypatch):
    rates = []
    monkeypatch.setattr(
        checkpoint.TrainingState, "set_lr", lambda self, lr: rates.append(lr)
    )
    fit(model(), points(), steps=20, lr=2.0, warmup=5, cosine=True, **CPU)
    assert rates == [2 * training._schedule(s, 20, 5, True) for s in range(20)]


def test_average_of_weights_is_what_the_model_ends_with():
    """Against a loop that averages by hand."""
    averaged = model()
    kw = dict(batch_size=32, ema=0.9, lr=1e-2, validation=points(8), **CPU)
    history = fit(averaged, points(), steps=20, **kw)
    # what was validated is the average, too
    assert history.validation.mean == [evaluate(averaged, points(8))[0]]
    trail = []
    m = model()

    def record(module, batch, step):
        if step:
            trail.append(weights(module))
        return -module.log_prob(batch)

    fit(m, points(), record, steps=20, batch_size=32, lr=1e-2, **CPU)
    trail.append(weights(m))
    mean = trail[0]
    for state in trail[1:]:
        mean = {k: 0.9 * mean[k] + 0.1 * state[k] for k in mean}
    for key, value in weights(averaged).items():
        torch.testing.assert_close(value, mean[key], rtol=1e-5, atol=1e-6)


def test_evaluation_has_fixed_noise_and_leaves_no_trace():
    m, x = randomize(model(), 0.1), points()
    state = torch.get_rng_state()
    first = evaluate(m, x, noisy_loss, batch_size=10)
    assert torch.equal(torch.get_rng_state(), state) and m.training
    assert evaluate(m, x, noisy_loss, batch_size=10) == first
    exact = -m.log_prob(x)
    mean, se = evaluate(m, x, batch_size=10)
    assert mean == pytest.approx(exact.mean().item(), rel=1e-6)
    expected = exact.std().item() / math.sqrt(len(x))
    assert se == pytest.approx(expected, rel=1e-5)


def test_evaluation_of_nan_has_no_standard_error():
    mean, se = evaluate(
        model(), points(), lambda m, x, step: x[:, 0] * math.nan
    )
    assert math.isnan(mean) and math.isnan(se)


def test_validation_curve():
    history = fit(
        model(),
        points(),
        steps=20,
        validation=points(32),
        evaluate_every=8,
        **CPU,
    )
    assert history.validation.step == [8, 16, 20]


@pytest.mark.parametrize("bf16", [True, False])
def test_bf16_is_what_the_loss_runs_under(bf16):
    def loss(module, batch, step):
        assert torch.is_autocast_enabled("cpu") == bf16
        return -module.log_prob(batch)

    history = fit(model(), points(), loss, steps=5, bf16=bf16, **CPU)
    assert math.isfinite(history.loss.mean[-1])
