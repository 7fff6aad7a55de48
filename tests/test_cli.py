import subprocess
import sys

import pytest

from dgm_course import __version__, cli
from dgm_course.data.sources import SOURCES


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DGM_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def downloads(monkeypatch, folder):
    """Downloads that succeed at once, but for CIFAR-10."""
    calls = []

    def download(name):
        calls.append(name)
        if name == "cifar10":
            raise OSError("cannot download cifar10")
        path = folder / f"{name}.npz"
        import numpy as np

        np.savez(path, **{key: np.zeros(1) for key in SOURCES[name].keys})
        return path

    monkeypatch.setattr("dgm_course.data.download", download)
    return calls


def test_get_downloads_what_is_not_at_hand(downloads, folder, capsys):
    assert cli.main(["data", "get", "mnist", "mnist", "prompts"]) == 0
    assert downloads == ["mnist", "prompts"]
    assert f"written, {folder / 'mnist.npz'}" in capsys.readouterr().out
    assert cli.main(["data", "get", "mnist"]) == 0
    assert downloads == ["mnist", "prompts"]
    assert f"at hand, {folder / 'mnist.npz'}" in capsys.readouterr().out


def test_get_replaces_a_damaged_archive(downloads, folder, capsys):
    (folder / "mnist.npz").write_bytes(b"PK\x03\x04 broken")
    assert cli.main(["data", "get", "mnist"]) == 0
    assert downloads == ["mnist"]
    assert "mnist.npz is damaged" in capsys.readouterr().err


def test_get_all_goes_on_after_a_failure(downloads, capsys):
    assert cli.main(["data", "get", "all"]) == 1
    assert downloads == list(SOURCES)
    streams = capsys.readouterr()
    assert streams.err == "dgm: cannot download cifar10\n"
    assert streams.out.count("written") == len(SOURCES) - 1


def test_get_refuses_unknown_names_before_any_download(downloads, capsys):
    assert cli.main(["data", "get", "mnist", "imagenet"]) == 1
    assert downloads == []
    assert "'imagenet' is no data set" in capsys.readouterr().err


def test_list_says_what_is_where(downloads, folder, capsys):
    cli.main(["data", "get", "mnist"])
    capsys.readouterr()
    assert cli.main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(folder) in lines[0]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert list(rows) == [*SOURCES, "magic"]
    assert "in full: mnist.npz" in rows["mnist"]
    assert "bundled: nothing" in rows["cifar10"]
    assert "dgm data get cifar10" in rows["cifar10"]


def test_ctrl_c(monkeypatch, capsys):
    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("dgm_course.data.download", stop)
    assert cli.main(["data", "get", "mnist"]) == 130
    assert capsys.readouterr().err == "dgm: stopped\n"


@pytest.mark.parametrize("words", [[], ["data"], ["data", "get"], ["fly"]])
def test_incomplete_commands_show_their_usage(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: dgm" in capsys.readouterr().err


def test_the_command_answers_without_importing_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dgm_course.cli import main; main(['--version'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert run.stdout == f"{__version__}\n"


def test_the_exit_status_reaches_the_shell(tmp_path):
    words = ["-m", "dgm_course.cli", "data", "get", "imagenet"]
    run = subprocess.run([sys.executable, *words], capture_output=True)
    assert run.returncode == 1 and b"imagenet" in run.stderr
