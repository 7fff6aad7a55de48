"""What guards an update: at once on a CPU, later on an accelerator."""

import math

import pytest
import torch
from torch import nn

from dgm_course import checkpoint, finite, training
from dgm_course.training import NonFiniteLoss, fit

QUIET = {"device": "cpu", "progress": False}


class Line(nn.Module):
    """Two parameters, of which one has a gradient that is known."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(3))
        self.shift = nn.Parameter(torch.zeros(()))

    def loss(self, x):
        return (x @ self.slope + self.shift).square()


def rows():
    return torch.randn(64, 3, generator=torch.Generator().manual_seed(1))


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


@pytest.fixture(params=["immediate", "deferred", "deferred, not fused"])
def guard(request, monkeypatch):
    """The CPU in its own role, and in that of an accelerator."""
    if request.param != "immediate":
        monkeypatch.setattr(training, "watch", finite.Deferred)
    if "not" in request.param:
        monkeypatch.setattr(checkpoint, "FUSED", ())
    return request.param


def nan_in_a_value(model, x, step):
    bad = (torch.arange(len(x)) == 5) & (step in (7, 9))
    return model.loss(x).masked_fill(bad, math.nan)


def infinite_but_flat(model, x, step):
    """The gradient of a constant is 0: the loss alone tells."""
    return model.loss(x) + (math.inf if step == 7 else 0.0)


def infinite_slope(model, x, step):
    zero = 0 * model.shift
    return model.loss(x) + (zero.sqrt() if step == 7 else zero)


def overflowing_slope(model, x, step):
    return model.loss(x) * (1e25 if step == 7 else 1.0)


BAD = [nan_in_a_value, infinite_but_flat, infinite_slope, overflowing_slope]


@pytest.mark.parametrize("loss", BAD)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("clip, ema", [(None, None), (1.0, 0.9)])
def test_the_first_bad_step_is_named_and_changes_nothing(
    guard, loss, accumulate, clip, ema
):
    """Whenever it is told: steps 4 to 7 belong to one point of the curve."""
    model, good = Line(), Line()
    kw = dict(batch_size=16, accumulate=accumulate, clip=clip, **QUIET)
    names = {
        nan_in_a_value: r"loss is not finite .* 1 of|loss .* 2 of",
        infinite_but_flat: "loss is not finite",
        infinite_slope: r"gradient .* that of shift\.",
        overflowing_slope: r"gradient .* slope",
    }
    batches = training.Batches(rows(), 16, 0, torch.device("cpu"))
    where = (
        f"step 7 (epoch 1, batch 3 of 4, rows {batches.index(7)[:8].tolist()}"
    )
    # a tenth of a curve with 100 points
    with pytest.raises(NonFiniteLoss, match=names[loss]) as caught:
        fit(model, rows(), loss, steps=1000, ema=ema, **kw)
    assert where in str(caught.value)
    fit(good, rows(), loss, steps=7, **kw)
    assert all(map(torch.equal, weights(model), weights(good)))


def test_nothing_wrong_is_nothing_changed(guard, monkeypatch):
    """The guard of an accelerator trains like the CPU's own."""
    model = Line()
    kw = dict(batch_size=16, clip=1.0, ema=0.9, lr=1e-2, **QUIET)
    history = fit(model, rows(), steps=50, **kw)
    monkeypatch.undo()
    plain = Line()
    expected = fit(plain, rows(), steps=50, **kw)
    for ours, theirs in zip(weights(model), weights(plain)):
        # fused or not, a step rounds a dozen times
        torch.testing.assert_close(ours, theirs, rtol=50 * 12 * 2**-23, atol=0)
    assert history.loss.mean == pytest.approx(expected.loss.mean, rel=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_a_skipped_update_is_not_averaged(fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(checkpoint, "FUSED", ())
    options = {"lr": 0.1, "ema": 0.9}
    state = checkpoint.TrainingState(Line(), options, "cpu")
    for bad in (0.0, 0.0, 1.0, 1.0):
        before = weights(state.model), weights(state.average)
        loss = state.model.loss(rows()).mean()
        loss.backward()
        if bad:
            state.model.slope.grad[1] = math.nan
        state.update(torch.tensor(bad))
        after = weights(state.model), weights(state.average)
        for old, new in zip(before, after):
            assert all(map(torch.equal, old, new)) == bool(bad)


def test_no_checkpoint_is_written_after_a_bad_step(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "watch", finite.Deferred)
    clock = iter(range(0, 10**9, 61))  # a checkpoint after each step
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    path = tmp_path / "run.pt"
    with pytest.raises(NonFiniteLoss, match="step 7 "):
        fit(
            Line(),
            rows(),
            infinite_but_flat,
            steps=1000,
            batch_size=16,
            checkpoint=path,
            **QUIET,
        )
    assert checkpoint.read(path)["step"] == 7


def test_a_resumed_run_names_the_step_of_the_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "watch", finite.Deferred)
    kw = dict(batch_size=16, checkpoint=tmp_path / "run.pt", **QUIET)
    fit(Line(), rows(), infinite_but_flat, steps=5, **kw)
    with pytest.raises(NonFiniteLoss, match="step 7 "):
        fit(Line(), rows(), infinite_but_flat, steps=1000, resume=True, **kw)


@pytest.mark.parametrize("kind", [finite.Immediate, finite.Deferred])
def test_a_loss_is_one_value_per_sample(kind, monkeypatch):
    monkeypatch.setattr(
        training, "watch", lambda *a: kind(*a[: 3 + (kind is finite.Deferred)])
    )
    for loss, given in (
        (lambda m, x, s: m.loss(x).mean(), r"has shape \(\)"),
        (lambda m, x, s: m.loss(x)[:, None], r"has shape \(16, 1\)"),
        (lambda m, x, s: 1.0, "is a float"),
    ):
        with pytest.raises(ValueError, match=f"the loss {given}; return one"):
            fit(Line(), rows(), loss, steps=1, batch_size=16, **QUIET)
