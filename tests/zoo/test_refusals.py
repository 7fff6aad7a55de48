"""What the zoo, its command line and its files refuse, and how they say it."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from dgm_course import files, signals, training, zoo
from dgm_course.cli import main

NAME = "magic_gaussian"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DGM_PROFILE", "smoke")
    zoo.train(zoo.recipe(NAME), tmp_path, device="cpu", progress=False)
    return tmp_path


def test_a_folder_may_be_a_string(folder):
    zoo.load(NAME, str(folder))
    assert [name for name, _ in zoo.results(str(folder))] == [NAME]


def test_weights_that_are_not_finite_are_refused(folder):
    """With a card that has their hash."""
    path = folder / f"weights/{NAME}.safetensors"
    state = load_file(path)
    next(iter(state.values())).view(-1)[0] = torch.nan
    before = zoo.card(NAME, folder).sha256
    save_file(state, path)
    card = folder / f"cards/{NAME}.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace(before, digest))
    with pytest.raises(ValueError, match=r"weights that are not finite \("):
        zoo.load(NAME, folder)


def test_the_card_of_another_model_is_refused(folder):
    cards = folder / "cards"
    (cards / f"{NAME}.json").rename(cards / "magic_maf.json")
    with pytest.raises(ValueError, match=f"is the card of {NAME}"):
        zoo.load("magic_maf", folder)


def test_a_file_that_is_no_checkpoint_is_not_resumed(folder, capsys):
    path = folder / f"checkpoints/{NAME}.smoke.pt"
    torch.save([1, 2], path)
    words = ["train", NAME, "--resume", "--out", str(folder)]
    assert main([*words, "--profile", "smoke", "--device", "cpu"]) == 1
    assert "is not a complete checkpoint" in capsys.readouterr().err


def test_a_device_without_numbers_is_refused(tmp_path, capsys):
    words = ["train", NAME, "--device", "meta", "--profile", "smoke"]
    assert main([*words, "--out", str(tmp_path)]) == 1
    assert "device 'meta' cannot be used here" in capsys.readouterr().err


def test_too_little_memory_names_the_setting(tmp_path, capsys, monkeypatch):
    def exhausted(*args, **kw):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")

    monkeypatch.setattr(training.Batches, "parts", exhausted)
    words = ["train", NAME, "--device", "cpu", "--profile", "smoke"]
    assert main([*words, "--out", str(tmp_path)]) == 1
    assert "a single row at a time; take a smaller" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_found_at_once(
    tmp_path, monkeypatch
):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setitem(zoo.train.__globals__, "fit", pytest.fail)
    with pytest.raises(OSError, match=r"cannot write .*choose another folder"):
        zoo.train(zoo.recipe(NAME), file / "zoo", device="cpu")


def test_two_trainings_of_one_name_at_once(folder):
    """The second is refused; a killed one leaves no lock behind."""
    path = folder / "checkpoints" / f"{NAME}.lock"
    program = (
        "import pathlib, sys, time; from dgm_course.files import alone\n"
        "with alone(pathlib.Path(sys.argv[1])): print(1, flush=True), "
        "time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match="another run works on the same"):
            zoo.train(zoo.recipe(NAME), folder, device="cpu", progress=False)
        other.kill()
    zoo.train(zoo.recipe(NAME), folder, device="cpu", progress=False)


def test_what_a_killed_writer_left_is_swept_up_a_day_later(tmp_path):
    old, new = tmp_path / ".part-old", tmp_path / ".part-new"
    for part in (old, new):
        part.write_text("half")
    os.utime(old, (time.time() - 2 * files.DAY,) * 2)
    with files.atomic_write(tmp_path / "x") as file:
        file.write(b"whole")
    assert {p.name for p in tmp_path.iterdir()} == {"x", ".part-new"}


def test_an_ignored_ctrl_c_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.interruptible(insist=True) as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
