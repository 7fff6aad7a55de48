"""Runs that are interrupted, killed, disturbed or spread over machines."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import corpus
import pytest
from mangled import notebook

from dgm_course import cli
from dgm_course.grading import assignments, batch, broker
from dgm_course.grading.broker import Fault, Session
from dgm_course.grading.collect import collect
from dgm_course.grading.examine import Examination
from dgm_course.grading.journal import Journal
from dgm_course.grading.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
FOLDER = str(corpus.HERE / "assignments")


def export(folder, n, cells=corpus.SOLUTION):
    folder.mkdir(exist_ok=True)
    for i in range(n):
        content = json.dumps(notebook([*cells, f"number = {i}"]))
        (folder / f"s{i:02}.ipynb").write_text(content)
    return folder


def words(given, out, *more):
    options = ["--out", str(out), "--assignments", FOLDER, *more]
    return ["grade", "t1", str(given), *options]


def lines(out):
    return len((out / "journal.jsonl").read_text().splitlines())


@pytest.fixture
def no_selftest(monkeypatch):
    """It has its own tests, and takes seconds."""
    monkeypatch.setattr("dgm_course.grading.selftest.verify", lambda: None)


def test_killed_at_any_moment_and_run_again(tmp_path, no_selftest):
    given = export(tmp_path / "in", 8)
    program = (
        "from dgm_course.grading import selftest\n"
        "selftest.verify = lambda: None\n"
        "from dgm_course.cli import main; import sys; sys.exit(main())"
    )
    out = tmp_path / "killed"
    command = [sys.executable, "-c", program, *words(given, out)]
    for n in (1, 4):
        run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_for(
            lambda n=n: (out / "journal.jsonl").exists() and lines(out) >= n
        )
        run.kill()
        run.wait()
    before = lines(out)
    assert before < 8, "too fast to be killed"
    with open(out / "journal.jsonl", "a") as file:
        file.write('{"code": "cut sh')
    assert cli.main(words(given, out)) == 0
    assert lines(out) == 9  # what was there was not graded again
    assert cli.main(words(given, tmp_path / "whole")) == 0
    names = ["grades.csv", "items.csv", "written/scores.csv"]
    for name in names:
        one, other = (tmp_path / d / name for d in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes()
    assert nothing_runs()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def nothing_runs():
    """No process of a sandbox of ours; a killed one needs a moment."""
    for _ in range(50):
        found = subprocess.run(
            ["ps", "-eo", "args"], capture_output=True, text=True
        ).stdout
        mine = f"dgm-grade-{os.getpid()}"
        if mine not in found:
            return True
        time.sleep(0.1)
    return False


def test_a_changed_test_grades_its_question_alone(tmp_path, no_selftest):
    submissions = collect([export(tmp_path / "in", 1)], "t1")
    journal = Journal(tmp_path / "journal.jsonl")
    assert batch.run(submissions, corpus.SMALL, journal) == {}
    assert batch.run(submissions, corpus.SMALL, journal) == {}
    assert lines(tmp_path) == 1
    other = assignments.load("t1", corpus.HERE / "assignments")
    test = other.questions[0].tests[0]
    object.__setattr__(test, "arguments", (test.arguments[0] + 1,))
    batch.run(submissions, other, journal)
    entry = json.loads((tmp_path / "journal.jsonl").read_text().split("\n")[1])
    assert list(entry["outcomes"]) == [other.digest(other.questions[0])]


def job(cells=corpus.SOLUTION):
    questions = tuple((q.id, q.id) for q in corpus.SMALL.graded)
    return batch.Job("code", tuple(cells), questions)


def test_a_sandbox_that_is_killed_is_tried_again(sandbox, monkeypatch):
    killed = []
    monkeypatch.setattr(batch, "PAUSE", 0)

    class Disturbed(Session):
        def ask(self, request, seconds):
            if request["do"] == "call" and len(killed) < 2:
                killed.append(self.process.process.pid)
                os.kill(killed[-1], signal.SIGKILL)
                self.process.process.wait()
            return super().ask(request, seconds)

    monkeypatch.setattr(batch, "Session", Disturbed)
    outcomes, _ = batch.examine(job(), corpus.SMALL, sandbox)
    assert len(killed) == 2
    assert sum(corpus.points(outcomes).values()) == 4


def test_a_fault_that_stays_is_no_score(sandbox, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(batch, "PAUSE", 0)
    monkeypatch.setattr("dgm_course.grading.selftest.verify", lambda: None)
    monkeypatch.setattr(Sandbox, "worker", lambda self: ["/bin/false"])
    given, out = export(tmp_path / "in", 2), tmp_path / "out"
    assert cli.main(words(given, out)) == 1
    assert "not graded: a sandbox did not start" in capfd.readouterr().out
    table = (out / "grades.csv").read_text("utf-8-sig").splitlines()
    assert all(
        ",not graded," in line and ",,,,,6," in line for line in table[1:]
    )
    assert not (out / "gradescope").exists()
    assert not (out / "journal.jsonl").exists()
    monkeypatch.undo()
    monkeypatch.setattr("dgm_course.grading.selftest.verify", lambda: None)
    assert cli.main(words(given, out)) == 0  # the same command goes on
    assert ",not graded," not in (out / "grades.csv").read_text()


@pytest.mark.parametrize("status", [1, 2, 127])
def test_a_sandbox_that_never_answers_is_a_fault(status, sandbox, monkeypatch):
    command = ["/bin/sh", "-c", f"echo trouble >&2; exit {status}"]
    monkeypatch.setattr(Sandbox, "worker", lambda self: command)
    with pytest.raises(Fault, match=r"did not start.*trouble"):
        Session(sandbox)


def test_an_error_in_the_grader_stops_no_other(tmp_path, no_selftest, capfd):
    """As an attack on the grader itself would cause one."""
    given, out = export(tmp_path / "in", 3), tmp_path / "out"
    examine = batch.examine

    def broken(job, *others):
        if "number = 1" in job.cells:
            raise RuntimeError("truth value of an array")
        return examine(job, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "examine", broken)
        assert cli.main(words(given, out)) == 1
    assert "2 written part open, 1 not graded" in capfd.readouterr().out
    text = (out / "grades.csv").read_text("utf-8-sig")
    assert "s01,s01,not graded" in text and "truth value" in text
    assert cli.main(words(given, out)) == 0


def test_a_sandbox_that_hangs_at_the_start_is_a_fault(sandbox, monkeypatch):
    monkeypatch.setattr(broker, "START", 0.5)
    monkeypatch.setattr(Sandbox, "worker", lambda self: ["/bin/sleep", "60"])
    with pytest.raises(Fault, match="did not start: no answer in time"):
        Session(sandbox)


def test_a_full_disk_keeps_what_was_graded(tmp_path, no_selftest, capfd):
    """/dev/full is a disk that is always full."""
    given, out = export(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    (out / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path / "nothing")
    journal.path = out / "journal.jsonl"
    with pytest.raises(OSError, match="No space left"):
        batch.run(collect([given], "t1"), corpus.SMALL, journal)
    assert journal.outcomes == {}
    assert not (out / "grades.csv").exists()


def test_submissions_do_not_share_limits(sandbox):
    """One submission's fork bomb leaves its neighbours their processes."""
    from concurrent.futures import ThreadPoolExecutor

    bomb = (
        "import os, time\n"
        "def distances(x):\n"
        "    while True:\n"
        "        try:\n"
        "            if os.fork() == 0: time.sleep(60)\n"
        "        except OSError:\n"
        "            time.sleep(0.05)"
    )

    def grade(cells):
        start = partial(Session, sandbox)
        return corpus.points(Examination(cells, start).grade(corpus.QUESTIONS))

    with ThreadPoolExecutor(2) as pool:
        bombs = pool.submit(grade, [*corpus.HONEST, bomb])
        for _ in range(3):
            assert sum(grade(corpus.SOLUTION).values()) == 4
        assert bombs.result() == corpus.SCORES


@pytest.mark.slow
def test_two_dask_workers_of_which_one_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    submissions = collect([export(tmp_path / "in", 8)], "t1")
    journal = Journal(tmp_path / "journal.jsonl")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=50,
    ) as cluster:
        victim = next(iter(cluster.workers.values()))

        class Watching(Journal):
            def add(self, *entry):
                super().add(*entry)
                if len(self.notes) == 1:
                    os.kill(victim.pid, signal.SIGKILL)

        watching = Watching(journal.path)
        faults = batch.run(
            submissions,
            corpus.SMALL,
            watching,
            scheduler=cluster.scheduler_address,
        )
    assert faults == {} and lines(tmp_path) == 8
    assert all(sum_of(o) for o in watching.outcomes.values())


def sum_of(outcome):
    return all(mark["points"] == mark["of"] for mark in outcome["tests"])


@pytest.mark.slow
def test_a_scheduler_that_is_not_there(tmp_path, capfd):
    pytest.importorskip("distributed")
    given = export(tmp_path / "in", 1)
    more = ["--scheduler", "tcp://127.0.0.1:1"]
    assert cli.main(words(given, tmp_path / "out", *more)) == 1
    assert "tcp://127.0.0.1:1" in capfd.readouterr().err
