"""The sandbox refuses to be trusted where it does not hold."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import corpus
import pytest
from mangled import notebook

from dgm_course import cli
from dgm_course.grading import cgroups, environment, seccomp, selftest, usage
from dgm_course.grading.broker import Lost, Session
from dgm_course.grading.sandbox import Sandbox

ROOT = Path(__file__).parents[2]


def test_it_holds_here():
    selftest.verify()


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (["--cap-drop", "ALL"], None),  # its caller is no root
        (["--unshare-all", "--unshare-user", "--disable-userns"], "network"),
        (["--disable-userns"], None),  # the filter refuses it as well
        (["--clearenv"], None),  # the launch has a clean one as well
    ],
)
def test_a_sandbox_without_one_option_is_noticed(given, means, monkeypatch):
    """Mutants of the command: the self-test tells, or a second wall holds."""
    whole = Sandbox._bubblewrap

    def without(self):
        words = whole(self)
        for word in given:
            words.remove(word)
        return words

    monkeypatch.setattr(Sandbox, "_bubblewrap", without)
    if means is None:
        selftest.verify()
        return
    with pytest.raises(OSError, match="nothing is graded"):
        selftest.verify()


def test_a_sandbox_without_a_filter_is_noticed(monkeypatch):
    allow = bytes.fromhex("060000000000ff7f")  # one instruction: allow
    monkeypatch.setattr(seccomp, "program", lambda: allow)
    with pytest.raises(OSError, match="memory outside of all limits"):
        selftest.verify()


def test_without_bubblewrap_nothing_is_graded(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("unshare", "prlimit", "setpriv", "mount", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    (tmp_path / "in").mkdir()
    data = json.dumps(notebook(corpus.SOLUTION))
    (tmp_path / "in/ann.ipynb").write_text(data)
    words = ["grade", "t1", str(tmp_path / "in"), "--out", str(tmp_path / "o")]
    words += ["--assignments", str(corpus.HERE / "assignments")]
    monkeypatch.setenv("PATH", str(folder))
    assert cli.main(words) == 1
    assert "needs Linux with bwrap" in capfd.readouterr().err
    assert not (tmp_path / "o/grades.csv").exists()
    assert cli.main([*words, "--unsafe"]) == 0
    assert ",2,1,1,,4,6," in (tmp_path / "o/grades.csv").read_text("utf-8-sig")


def facts(sandbox, source):
    session = Session(sandbox)
    try:
        cell = {"do": "cell", "source": source, "name": "<cell>"}
        assert session.ask(cell, 20) == {"number": 1, "value": None}
        call = {"do": "call", "function": "f", "arguments": [], "seed": 0}
        call |= {"arrays": "numpy", "of": "", "keep": ""}
        return session.ask(call, 20)["value"]
    finally:
        session.close()


def test_what_a_student_finds_inside():
    source = """
import os, sys
def f():
    import dgm_course.data
    return {
        "top": sorted(os.listdir("/")),
        "fds": sorted(int(n) for n in os.listdir("/proc/self/fd")),
        "course": sorted(os.listdir("/course/dgm_course")),
        "variables": sorted(os.environ),
        "packages": sorted(os.listdir("/packages")),
        "flows": "flows" in os.listdir("/course/dgm_course"),
    }
"""
    with Sandbox() as whole:  # torch needs room
        found = facts(whole, source)
    own = "bin course dev etc grader home lib lib32 lib64 packages proc python"
    assert set(found["top"]) <= {*own.split(), "sbin", "tmp", "usr"}
    # the three standard ones, the pipes to the grader, and the listing's own
    assert found["fds"] == [0, 1, 2, 3, 4, 5]
    assert not {"flows", "vae", "zoo", "nn"} & set(found["course"])
    extra = {"LD_LIBRARY_PATH", "PWD", "LC_CTYPE"}
    assert set(found["variables"]) <= {*environment.variables(), *extra}
    assert not {"zuko", "nflows", "dgm_course"} & set(found["packages"])
    assert {"torch", "numpy"} <= set(found["packages"])


def test_torch_works_inside():
    """A model trains, and its handle stays inside."""
    source = """
import torch
def f():
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.ones(4, 2)).square().mean().backward()
        optimizer.step()
    return net(torch.ones(4, 2))
"""
    with Sandbox() as whole:
        assert facts(whole, source).shape == (4, 1)


def test_usage_counts_children():
    program = (
        "import os, time\n"
        "os.fork()\n"
        "block = bytearray(b'x') * 30_000_000\n"
        "end = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", program])
    try:
        end = time.monotonic() + 60
        while usage.of_tree(run.pid)[0] < 0.6 and time.monotonic() < end:
            time.sleep(0.05)
        seconds, memory = usage.of_tree(run.pid)
        assert len(usage.tree(run.pid)) == 2
        assert seconds >= 0.6 and memory >= 60_000_000
    finally:
        for pid in reversed(usage.tree(run.pid)):
            os.kill(pid, 9)
        run.wait()


def test_memory_is_limited_without_control_groups(monkeypatch, sandbox):
    monkeypatch.setattr("dgm_course.grading.cgroups._parents", lambda: ())
    attack = corpus.attacks("exhaust")["memory of many processes"]
    session = Session(sandbox)
    try:
        assert session.process.group is None
        session.ask({"do": "cell", "source": attack, "name": "<cell>"}, 20)
        call = {"do": "call", "function": "probe", "seed": 0, "of": ""}
        call |= {"arguments": [{"memory": sandbox.limits.memory}]}
        with pytest.raises(Lost, match="of memory"):
            session.ask({**call, "arrays": "numpy", "keep": ""}, 20)
    finally:
        session.close()


def test_limits_of_control_groups_of_version_2(monkeypatch, tmp_path):
    """As files: kernels that keep memory in version 1 have no other."""
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    monkeypatch.setattr(cgroups, "TOP", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    cgroups._parents.cache_clear()
    try:
        assert cgroups._parents() == ()  # the kernel did not take them
        (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
        cgroups._parents.cache_clear()
        monkeypatch.setattr(Path, "write_text", _only_new(Path.write_text))
        group = cgroups.Cgroup.create(1 << 20, 7)
    finally:
        cgroups._parents.cache_clear()
    (folder,) = group.folders
    assert (folder / "memory.max").read_text() == str(1 << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "7"
    assert not group.memory_ran_out()
    (folder / "memory.events").open("w").write("oom 3\noom_kill 1\n")
    assert group.memory_ran_out()


def _only_new(write):
    """The kernel's file answers with names, not with what was written."""

    def write_text(path, text):
        return path.name == "cgroup.subtree_control" or write(path, text)

    return write_text


def first_closed(path):
    """Return the topmost folder on the way that others cannot pass."""
    way = [*reversed(path.parents), path]
    return next((p for p in way if not p.stat().st_mode & 0o001), None)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be another user")
def test_it_holds_for_an_ordinary_user(tmp_path):
    """As nobody, who gets to see Python and the project, and no more of a
    folder that is closed to others, such as the home of root."""
    program = (
        "from dgm_course.grading import selftest, cgroups\n"
        "assert cgroups._parents() == ()\n"
        "selftest.verify()\n"
        "print('holds')"
    )
    groups = {}
    for path in (environment.prefix(), ROOT, Path(sys.prefix)):
        closed = first_closed(path)
        if closed is not None:
            groups.setdefault(closed, []).append(path)
    lines = ["set -e"]
    for closed, paths in groups.items():
        kept = {
            path: tmp_path / f"{len(lines)}-{k}" for k, path in enumerate(paths)
        }
        for path, there in kept.items():
            there.mkdir(exist_ok=True)
            lines.append(f"mount --bind {path} {there}")
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {closed}")
        for path, there in kept.items():
            lines += [f"mkdir -p {path}", f"mount --bind {there} {path}"]
    lines.append(
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i "
        f'PATH="$PATH" PYTHONPATH={ROOT} {sys.executable} -c "$0"'
    )
    script = "\n".join(lines)
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, program],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert run.stdout == "holds\n", run.stderr
