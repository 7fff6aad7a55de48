"""Two processes do what one would, and a dead one leaves no riddle."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support import processes
from support.processes import BATCH, CASES

from dgm_course import checkpoint, zoo
from dgm_course.batches import Batches
from dgm_course.cli import main

HERE = Path(__file__).parent


def torchrun(script, *words):
    """Run a script in two processes; return what they printed."""
    program = Path(sys.executable).with_name("torchrun")
    command = [str(program), "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [*command, str(script), *map(str, words)],
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where one process has trained 3 steps, and two have done their work."""
    folder = tmp_path_factory.mktemp("processes")
    processes.train(3, folder / "from_one.pt")
    run = torchrun(HERE / "support" / "processes.py", folder)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return [torch.load(folder / f"found{rank}.pt") for rank in (0, 1)]


def assert_close(one, other):
    """Up to the rounding of float64 in sums of another order."""
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_a_step_of_two_processes_is_that_of_one(found, name):
    """7 rows, 3 for one process and 4 for the other, the noise supplied."""
    for rank in (0, 1):
        two = found[rank]["steps"][name]
        for mine, theirs in zip(processes.one_step(CASES[name]), two):
            assert_close(theirs, mine)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].batchwise])
def test_shares_normalized_apart_would_be_noticed(name):
    """What two processes would do that did not share their statistics."""
    case, apart = CASES[name], {}
    whole, *_ = processes.one_step(case)
    for rank in (0, 1):
        shares = Batches(case.data, BATCH, 0, "cpu", rank, 2)
        ((weight, share),) = shares.parts(0, accumulate=1)
        model = case.model()
        (weight / 2 * case.loss(model, share, 0).mean()).backward()
        for key, p in model.named_parameters():
            apart[key] = apart.get(key, 0) + p.grad
    assert max((apart[k] - whole[k]).abs().max() for k in whole) > 0.01


def test_evaluation_and_samples_are_shared_and_exactly_those_of_one(found):
    score, samples = processes.judged()
    for rank in (0, 1):
        assert found[rank]["judged"][0] == score
        assert torch.equal(found[rank]["judged"][1], samples)
        # 11 rows in batches of 2, of which each process saw every second
        assert found[rank]["batches"] == [[2, 2, 2], [2, 2, 1]][rank]
    assert len(samples) == 11 and len(samples.unique(dim=0)) == 11


def test_the_command_draws_the_same_with_two_processes(
    found, folder, tmp_path, capsys
):
    assert [f["status"] for f in found] == [0, 0]
    one = tmp_path / "one.npy"
    assert processes.drawn_by_command(one) == 0
    assert "float32, (250, 10)" in capsys.readouterr().out
    assert one.read_bytes() == (folder / "two.npy").read_bytes()
    assert len(np.unique(np.load(one), axis=0)) == 250
    assert main(["sample", "fashion_resnet", "2", str(one)]) == 1
    assert "a ResNet, from which nothing is drawn" in capsys.readouterr().err


def test_torch_batch_norm_is_refused(found):
    for rank in (0, 1):
        assert "1 is torch's BatchNorm1d" in found[rank]["refused"]


@pytest.mark.parametrize("name, steps", [("from_one", 5), ("from_two", 3)])
def test_another_number_of_processes_goes_on(folder, tmp_path, name, steps):
    """One process, two and again one; and two, then one."""
    path = folder / f"{name}.pt"
    assert checkpoint.read(path)["step"] == steps
    resumed, reached = processes.train(8, path)
    whole, _ = processes.train(8, tmp_path / "whole.pt")
    assert reached == 8
    assert_close(resumed, whole)


def test_one_interrupted_process_stops_all_and_no_loss_is_lost(
    found, folder, tmp_path
):
    """The checkpoint holds what both saw since the last point of the curve."""
    assert [f["stopped"] for f in found] == ["interrupted"] * 2
    processes.interrupted(tmp_path / "one.pt")
    one, two = map(
        checkpoint.read, (tmp_path / "one.pt", folder / "interrupted.pt")
    )
    assert one["step"] == two["step"] == 2
    assert one["window"]["count"] == two["window"]["count"] == 2 * BATCH
    assert two["window"]["total"] == pytest.approx(one["window"]["total"])


def test_shares_of_a_batch_cover_it():
    for size in (7, 8):
        shares = [
            Batches(processes.drawn(9, 3), size, 0, "cpu", rank, 3).index(0)
            for rank in range(3)
        ]
        whole = Batches(processes.drawn(9, 3), size, 0, "cpu").index(0)
        assert torch.equal(torch.cat(shares), whole)
    with pytest.raises(ValueError, match="2 rows, and there are 3 processes"):
        Batches(processes.drawn(9, 3), 2, 0, "cpu", 0, 3)


ENDED = """
import os, signal, sys, time
from dgm_course import cli, training
clock = iter(range(10**9))
training.time.monotonic = lambda: 61 * next(clock)  # a checkpoint in each step
default = training.default_loss
def loss(model, batch, step):
    if step == 4 and os.environ["RANK"] == "1":
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), 9)
        heard, request = [], signal.getsignal(signal.SIGTERM)
        def handler(*given):
            heard.append(given)
            request(*given)
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getppid(), signal.SIGTERM)  # torchrun itself
        while not heard:
            time.sleep(0.1)
    return default(model, batch, step)
training.default_loss = loss
sys.exit(cli.main(sys.argv[2:]))
"""


def ended(how, folder):
    """Train until the fifth step ends so; go on with one process.

    Returns:
        What the processes and torchrun told, and the step of the checkpoint.
    """
    script = folder / "ended.py"
    script.write_text(ENDED)
    words = ["train", "magic_gaussian", "--device", "cpu"]
    words += ["--out", str(folder / "runs")]
    run = torchrun(script, how, *words)
    assert run.returncode != 0
    kept = folder / "runs" / "checkpoints"
    (path,) = kept.glob("magic_gaussian*.pt")
    step = checkpoint.read(path)["step"]
    assert not list(kept.glob(".part-*"))
    assert main([*words, "--resume"]) == 0
    steps = zoo.recipe("magic_gaussian").steps["smoke"]
    assert zoo.card("magic_gaussian", folder / "runs").steps == steps
    return run.stdout + run.stderr, step


def test_a_killed_process_is_told_and_its_run_goes_on(tmp_path):
    output, step = ended("killed", tmp_path)
    told = [line for line in output.splitlines() if "dgm: " in line]
    assert step == 4
    assert len(told) == 1 and "another process of this run was lost" in told[0]
    assert "is whole: start again, and resume" in told[0]
    assert "[rank0]" not in output  # no traceback
    assert "SIGKILL" in output  # torchrun's own summary


@pytest.mark.slow
def test_a_preempted_run_goes_on(tmp_path):
    """As Slurm ends it: SIGTERM to torchrun, which hands it on."""
    output, step = ended("preempted", tmp_path)
    assert step == 5  # the step was ended, and written down
    assert output.count("stopped after step 5 of 20; nothing is lost") == 1
