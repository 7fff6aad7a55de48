"""fit(): every promise of its docstring."""

import math
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from support import randomize
from support.runs import assert_same, model, noisy_loss, points, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dgm_course import checkpoint, flows, training
from dgm_course.batches import Batches
from dgm_course.history import History
from dgm_course.training import NonFiniteLoss, evaluate, fit

CPU = {"device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def ctrl_c():
    """As in a terminal, also where the tests run under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_arrays_and_tensor_datasets_are_data():
    x = points()
    kinds = x, x.numpy(), TensorDataset(x), [x.numpy()]
    losses = [fit(model(), data, steps=3, **CPU).loss.mean for data in kinds]
    assert losses == [losses[0]] * 4
    for data in (DataLoader(x), "points", [[0.0, 1.0]]):
        with pytest.raises(TypeError, match="expected a tensor, several"):
            fit(model(), data, steps=3, **CPU)


@pytest.mark.parametrize("minutes", [-1, math.nan])
def test_a_budget_that_is_none_is_refused(minutes):
    with pytest.raises(
        ValueError, match=f"minutes = {minutes}; expected at least 0"
    ):
        fit(model(), points(), steps=2, minutes=minutes, **CPU)


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


def on_a_device_for(rows):
    """A loss that fails, as a GPU's would, on more than so many rows."""

    def loss(model, batch, step):
        if len(batch) > rows:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return -model.log_prob(batch)

    return loss


def test_where_memory_is_short_a_batch_comes_in_more_parts(capsys):
    small, large = model().double(), model().double()
    data, kw = points().double(), dict(steps=3, batch_size=32, **CPU)
    one = fit(small, data, on_a_device_for(10), **kw)
    other = fit(large, data, accumulate=4, **kw)
    assert_same(weights(small), weights(large))
    assert one.loss == other.loss  # no row is counted twice
    out = capsys.readouterr().out
    assert "in 2 parts" in out and out.count("accumulate=4") == 1


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


@pytest.mark.parametrize("ema", [None, 0.9])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, ema):
    # every second of 250 steps is a point of the curve; 17 lies between two
    kw = dict(steps=250, batch_size=16, ema=ema, cosine=True, warmup=5, **CPU)
    whole, parts = model(), model()
    expected = fit(whole, points(), noisy_loss, **kw)

    def interrupted(module, batch, step):
        if step == 16:
            signal.raise_signal(signal.SIGINT)
        return noisy_loss(module, batch, step)

    path = tmp_path / "run.pt"
    history = fit(parts, points(), interrupted, checkpoint=path, **kw)
    assert history.stopped == "interrupted" and history.steps == 17
    parts = model(seed=9)
    history = fit(
        parts, points(), noisy_loss, checkpoint=path, resume=True, **kw
    )
    assert_same(weights(whole), weights(parts))
    assert history.loss == expected.loss and history.stopped == "finished"


def test_kill_minus_nine_then_resume(tmp_path):
    """The checkpoint on disk is always a whole one."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent("""
        import os, sys, torch
        from dgm_course import flows, training
        import time
        clock = iter(range(0, 10**9, 61))  # a checkpoint after each step
        training.time.monotonic = lambda: next(clock)
        torch.manual_seed(0)
        model = flows.realnvp(3, layers=2, hidden=(8,))
        x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
        def loss(m, batch, step):
            if step == int(sys.argv[2]):
                os._exit(9)  # no handler, no flush: a kill -9
            return -m.log_prob(batch + 0.1 * torch.randn_like(batch))
        training.fit(model, x, loss, steps=30, batch_size=16, device="cpu",
                     checkpoint=sys.argv[1], resume=True, progress=False)
        torch.save(model.state_dict(), sys.argv[1] + ".done")
        """)
    )
    path = tmp_path / "run.pt"
    command = [sys.executable, str(script), str(path)]
    killed = subprocess.run([*command, "11"], timeout=120)
    assert killed.returncode == 9 and path.exists()
    assert checkpoint.read(path)["step"] == 11
    subprocess.run([*command, "-1"], check=True, timeout=120)
    whole = model()
    fit(whole, points(), noisy_loss, steps=30, batch_size=16, **CPU)
    assert_same(weights(whole), torch.load(f"{path}.done"))


def test_second_ctrl_c_is_immediate():
    def loss(module, batch, step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return -module.log_prob(batch)

    with pytest.raises(KeyboardInterrupt):
        fit(model(), points(), loss, steps=5, **CPU)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_end_that_a_scheduler_announces_keeps_what_was_learned(tmp_path):
    def loss(module, batch, step):
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        return -module.log_prob(batch)

    path, before = tmp_path / "run.pt", signal.getsignal(signal.SIGTERM)
    history = fit(model(), points(), loss, steps=9, checkpoint=path, **CPU)
    assert history.stopped == "interrupted"
    assert checkpoint.read(path)["step"] == history.steps == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_runs_outside_of_the_main_thread():
    result = []
    thread = threading.Thread(
        target=lambda: result.append(fit(model(), points(), steps=2, **CPU))
    )
    thread.start()
    thread.join()
    assert result[0].stopped == "finished"


def test_budget_of_minutes():
    history = fit(model(), points(), steps=10**9, minutes=0.005, **CPU)
    assert history.stopped == "out of time" and history.seconds < 30
    assert history.loss.step == [history.steps]  # what there was is told


def test_ctrl_c_in_the_last_validation_loses_nothing(tmp_path):
    def loss(module, batch, step):
        if not module.training:
            signal.raise_signal(signal.SIGINT)
        return -module.log_prob(batch)

    path = tmp_path / "run.pt"
    kw = dict(steps=3, validation=points(8), checkpoint=path, **CPU)
    history = fit(model(), points(), loss, **kw)
    assert history.steps == 3 and checkpoint.read(path)["step"] == 3


def test_resume_refuses_other_options(tmp_path):
    kw = dict(checkpoint=tmp_path / "run.pt", resume=True, **CPU)
    fit(model(), points(), steps=2, **kw)
    with pytest.raises(ValueError, match=r"'seed': 0.*not with .*'seed': 7"):
        fit(model(), points(), steps=2, seed=7, **kw)
    assert fit(model(), points(), steps=4, **kw).steps == 4  # may grow


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


def test_foreign_or_broken_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    kw = dict(steps=2, checkpoint=path, resume=True, **CPU)
    fit(model(), points(), **kw)
    other = flows.realnvp(3, layers=4, hidden=(8,))
    with pytest.raises(ValueError, match="written by another model"):
        fit(other, points(), **kw)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        fit(model(), points(), **kw)


def test_failed_write_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    fit(model(), points(), steps=2, checkpoint=path, **CPU)
    before = path.read_bytes()

    def full_disk(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match=r"No space left.*untouched"):
        fit(model(), points(), steps=2, checkpoint=path, **CPU)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file/run.pt"
    with pytest.raises(OSError, match="choose another folder"):
        fit(model(), points(), steps=1, checkpoint=path, **CPU)


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


def test_the_noise_of_a_gpu_is_that_of_the_device_in_use(tmp_path, monkeypatch):
    """Where a run goes on there may be fewer GPUs than where it began."""
    noise, seen = torch.get_rng_state(), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: noise)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: seen.append(device)
    )
    path, options = tmp_path / "run.pt", {"lr": 1e-3, "ema": None}
    for number in (1, 0):
        state = checkpoint.TrainingState(model(), options, "a GPU")
        state.device = torch.device("cuda", number)
        if number:
            state.save(path, state.window)
    state.load(path)
    assert seen == [torch.device("cuda", 0)]
    state.device = torch.device("cpu")
    state.load(path)
    assert len(seen) == 1
