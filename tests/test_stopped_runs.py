"""fit(): a run that is stopped, and what it goes on with."""

import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from support.runs import CPU, assert_same, model, noisy_loss, points, weights

from dgm_course import checkpoint, flows
from dgm_course.training import fit


@pytest.fixture(autouse=True)
def ctrl_c():
    """As in a terminal, also where the tests run under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
