"""fit(): its clock, its modes, its noise, and what a run goes on with."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.runs import CPU, model, noisy_loss, points
from torch import nn

from dgm_course import checkpoint, training
from dgm_course.batches import Batches
from dgm_course.training import evaluate, fit


@pytest.fixture
def clock(monkeypatch):
    """A clock that losses alone move on."""
    now = SimpleNamespace(seconds=1000.0)
    time = SimpleNamespace(monotonic=lambda: now.seconds)
    monkeypatch.setattr(training, "time", time)
    return now


def lasting(clock, seconds):
    def loss(model, batch, step):
        clock.seconds += seconds
        return -model.log_prob(batch)

    return loss


def test_the_budget_is_in_minutes(clock):
    loss = lasting(clock, 30)
    history = fit(model(), points(), loss, steps=99, minutes=2, **CPU)
    assert history.stopped == "out of time"
    assert history.steps == 5  # the first that ends later than 120 s


def test_a_checkpoint_is_written_once_a_minute(clock, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(
        checkpoint.TrainingState,
        "save",
        lambda self, *given: written.append(self.step),
    )
    path = tmp_path / "run.pt"
    fit(model(), points(), lasting(clock, 25), steps=10, checkpoint=path, **CPU)
    assert sorted(set(written)) == [3, 6, 9, 10]


def test_the_time_of_all_parts_is_counted(clock, tmp_path):
    kw = dict(checkpoint=tmp_path / "run.pt", resume=True, **CPU)
    loss = lasting(clock, 25)
    assert fit(model(), points(), loss, steps=3, **kw).seconds == 75
    clock.seconds += 10_000  # between the two nobody trains
    assert fit(model(), points(), loss, steps=5, **kw).seconds == 125


def test_the_noise_of_validation_follows_from_the_seed():
    m, held_out = model(), points(16)
    kw = dict(steps=3, validation=held_out, seed=5, **CPU)
    history = fit(m, points(), noisy_loss, **kw)
    expected = evaluate(m, held_out, noisy_loss, seed=5)
    assert history.validation.mean == [expected[0]]
    assert expected != evaluate(m, held_out, noisy_loss, seed=6)


def test_the_last_step_is_validated_once():
    kw = dict(steps=8, validation=points(8), evaluate_every=4, **CPU)
    assert fit(model(), points(), **kw).validation.step == [4, 8]


class Modes(nn.Module):
    """Notes in which mode its loss was asked for."""

    def __init__(self):
        super().__init__()
        self.w, self.seen = nn.Parameter(torch.zeros(())), []

    def loss(self, x):
        self.seen.append(self.training)
        return self.w * x[:, 0]


def test_a_model_is_trained_in_training_mode_and_judged_in_the_other():
    m = Modes().eval()
    kw = dict(steps=3, validation=points(8), evaluate_every=2, **CPU)
    fit(m, points(8), **kw)
    assert m.seen == [True, True, False, True, False] and m.training


@pytest.mark.parametrize("training_mode", [True, False])
def test_an_evaluation_leaves_the_mode_as_it_was(training_mode):
    m = Modes().train(training_mode)
    evaluate(m, points(8))
    assert m.seen == [False] and m.training == training_mode


def test_the_order_of_rows_follows_from_the_seed():
    orders = [
        Batches(points(), 64, seed, torch.device("cpu")).index(0).tolist()
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_what_a_step_does_not_use_stays_where_it_is():
    """It has no gradient, which is more than 0: momentum would move it on."""
    first, second = (nn.Parameter(torch.ones(8)) for _ in range(2))
    m, seen = nn.ParameterList([first, second]), []

    def loss(module, batch, step):
        seen.append(first.tolist())
        return (second if step else first).square()

    fit(m, None, loss, steps=3, **CPU)
    assert seen[0] != seen[1] == seen[2] == first.tolist()


@pytest.mark.parametrize("accumulate", [1, 4])
def test_parts_that_draw_their_own_samples_share_one_step(accumulate):
    m = Modes()

    def loss(module, batch, step):
        return module.w.expand(8)

    fit(m, None, loss, steps=1, accumulate=accumulate, **CPU)
    assert m.w.grad.item() == 1.0


@pytest.mark.parametrize(
    "option",
    [
        {"batch_size": 8},
        {"accumulate": 2},
        {"lr": 2e-3},
        {"warmup": 1},
        {"cosine": True},
        {"clip": 1.0},
        {"ema": 0.9},
        {"bf16": True},
    ],
    ids=str,
)
def test_a_run_goes_on_with_its_own_options_alone(option, tmp_path):
    kw = dict(checkpoint=tmp_path / "run.pt", resume=True, **CPU)
    fit(model(), points(), steps=2, **kw)
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"not with .*'{name}': {value}"):
        fit(model(), points(), steps=4, **kw, **option)


def test_validation_data_are_looked_at_before_the_training():
    with pytest.raises(TypeError, match="data is a str; expected a tensor"):
        fit(model(), points(), pytest.fail, steps=3, validation="x", **CPU)


@pytest.mark.parametrize("value", [1.0, None, torch.zeros(())], ids=str)
def test_a_loss_that_is_no_vector_is_refused(value):
    def loss(module, batch, step):
        return value

    given = "shape ()" if isinstance(value, torch.Tensor) else type(value)
    told = f"the loss (is a|has) {getattr(given, '__name__', 'shape')}"
    for run in (
        lambda: fit(model(), points(), loss, steps=1, **CPU),
        lambda: evaluate(model(), points(), loss),
    ):
        with pytest.raises(ValueError, match=f"{told}.*one value per sample"):
            run()


TWO = """
import os, sys, torch
from torch import nn
from dgm_course.training import fit
model, drawn = nn.Linear(1, 1), []
def loss(m, batch, step):
    drawn.append(torch.randn(()).item())
    return 0 * m(batch)[:, 0] + step
for minutes in (0, None):  # one step, then the others
    history = fit(model, torch.zeros(8, 1), loss, steps=200, batch_size=8,
                  minutes=minutes, checkpoint=sys.argv[1] + "/run.pt",
                  resume=True, device="cpu", progress=False)
torch.save((drawn, history.loss.mean), f"{sys.argv[1]}/{os.environ['RANK']}")
"""


def test_each_process_has_noise_of_its_own_and_counts_its_own_losses(tmp_path):
    """Two steps, with losses 0 and 1, are one point of the curve."""
    script = tmp_path / "two.py"
    script.write_text(TWO)
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [str(torchrun), "--standalone", "--nproc_per_node", "2"]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run(
        [*command, script, tmp_path], check=True, env=env, timeout=300
    )
    (first, curve), (second, other) = (
        torch.load(tmp_path / rank) for rank in "01"
    )
    assert len(first) == len(second) == 200
    assert not {*first} & {*second}
    # the file of an interrupted run holds the eight zeros of both processes,
    # which count once beside eight ones
    assert curve == other and curve[0] == 0.5
