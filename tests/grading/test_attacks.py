"""No attack scores above its honest score, reaches anything or remains.

Each attack is run without the sandbox too, where it must succeed: an attack
that cannot work proves nothing.
"""

import json
import os
import select
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import corpus
import pytest
from naive import verdict

from dgm_course.grading.broker import Session
from dgm_course.grading.examine import Examination

if os.getuid() != 0:
    pytest.skip("the positive controls need root", allow_module_level=True)

# where the kernel or the machine lacks what the attack is on
MAY_LACK = {
    "vsock: to the host of a virtual machine, whatever the namespace",
    "bpf: programs in the kernel",
    "keyring of the user",
    "terminal: type into it",
    "userfaultfd: a tool of kernel exploits",
    "other packages: models of other libraries",
}


def run(where, cells, questions):
    examination = Examination(cells, partial(Session, where))
    return corpus.points(examination.grade(questions)), examination.notes


def cases(*names):
    return [
        pytest.param(source, title, id=f"{name}-{title}")
        for name in names
        for title, source in corpus.attacks(name).items()
    ]


@pytest.mark.parametrize(("source", "title"), cases("reach", "exhaust"))
def test_nothing_is_reached(source, title, sandbox, plain, world):
    cells = [*corpus.HONEST, source]
    probe = corpus.probe(world)
    found, _ = run(sandbox, cells, [probe, *corpus.QUESTIONS])
    assert found == {"t1.probe": 0, **corpus.SCORES}
    control, notes = run(plain, cells, [probe])
    if control == {"t1.probe": 0} and title in MAY_LACK:
        pytest.skip("this machine has nothing to attack")
    assert control == {"t1.probe": 1}, notes


@pytest.mark.parametrize(("source", "title"), cases("remain"))
def test_nothing_remains(source, title, sandbox, plain, world):
    cells = [*corpus.HONEST, source]
    plant, probe = corpus.probe(world, "plant"), corpus.probe(world)
    run(sandbox, cells, [plant])
    found, _ = run(sandbox, cells, [probe, *corpus.QUESTIONS])
    assert found == {"t1.probe": 0, **corpus.SCORES}
    control, notes = run(plain, cells, [plant])
    if control == {"t1.plant": 0} and title in MAY_LACK:
        pytest.skip("this machine has nothing to attack")
    assert control == {"t1.plant": 1}, notes
    assert run(plain, cells, [probe])[0] == {"t1.probe": 1}


@pytest.mark.parametrize(("source", "title"), cases("forge"))
def test_nothing_is_forged(source, title, sandbox, tmp_path, monkeypatch):
    cells = [*corpus.HONEST, source]
    found, _ = run(sandbox, cells, corpus.QUESTIONS)
    assert found["t1.q2"] == 0
    assert all(found[key] <= corpus.SCORES[key] for key in found)
    assert naive(cells, tmp_path, monkeypatch)[title.split(":")[0]]


def naive(cells, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "cells.json").write_text(json.dumps(cells))
    program = str(Path(__file__).parent / "naive.py")
    finished = subprocess.run(
        [sys.executable, program, "cells.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return verdict(folder, finished)


@pytest.mark.parametrize(
    ("cells", "passes"), [(corpus.SOLUTION, True), (corpus.HONEST, False)]
)
def test_the_naive_grader_grades(cells, passes, tmp_path, monkeypatch):
    """The controls of the forgeries: it tells right from wrong."""
    found = naive(cells, tmp_path, monkeypatch)
    pickled = found.pop("pickle")
    assert set(found.values()) == {passes} and not pickled


VEHICLE = next(iter(corpus.attacks("vehicle").values()))


@pytest.fixture
def arrived(monkeypatch):
    """All bytes of replies that the grader took from the pipe."""
    record, read = bytearray(), Session._read

    def recorded(self, length):
        part = read(self, length)
        record.extend(part)
        return part

    monkeypatch.setattr(Session, "_read", recorded)
    return record


@pytest.fixture(scope="module")
def honestly(sandbox):
    """What arrives where nobody attacks."""
    with pytest.MonkeyPatch.context() as patch:
        record = arrived.__wrapped__(patch)
        run(sandbox, [*corpus.HONEST, VEHICLE], corpus.QUESTIONS)
    return bytes(record)


def test_what_arrives_is_the_same_each_time(sandbox, arrived, honestly):
    """The control of the controls below."""
    run(sandbox, [*corpus.HONEST, VEHICLE], corpus.QUESTIONS)
    assert arrived == honestly


@pytest.mark.parametrize(("source", "title"), cases("wire"))
def test_nothing_on_the_wire_is_believed(
    source, title, sandbox, arrived, honestly
):
    cells = [*corpus.HONEST, VEHICLE + source]
    found, _ = run(sandbox, cells, corpus.QUESTIONS)
    assert arrived != honestly  # the control: the attack was on the wire
    if title.startswith("valid frame"):  # one answer too many spoils others
        assert found["t1.q2"] == 0
        assert all(found[key] <= corpus.SCORES[key] for key in found)
    else:
        assert found == corpus.SCORES
    assert not Path("/tmp/marker").exists()


@pytest.mark.parametrize(
    "send",
    [
        "send(frame({'number': number(), 'value': True}))",
        "send(raw_value(True))",
        "send(with_arrays(True, []))",
    ],
)
def test_the_wire_delivers(send, sandbox, world):
    """The control of the attacks on it: a proper frame is taken."""
    attack = f"{VEHICLE}\ndef probe(world):\n    {send}\n    return False"
    assert run(sandbox, [attack], [corpus.probe(world)])[0] == {"t1.probe": 1}


def test_an_array_is_delivered(sandbox):
    body = (
        "send(with_arrays({'tuple': [{'array': 0}, 3]}, [npy('(3, 3)') + D]))"
    )
    right = (
        "D = np.array([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]]).tobytes()\n"
        f"def distances(x):\n    {body}"
    )
    questions = [q for q in corpus.QUESTIONS if q.id == "t1.q2"]
    found, _ = run(sandbox, [VEHICLE + right], questions)
    assert found == {"t1.q2": 1}


@pytest.mark.parametrize(("source", "title"), cases("hang"))
def test_what_hangs_or_dies_costs_its_question_alone(source, title, sandbox):
    found, _ = run(sandbox, [*corpus.HONEST, source], corpus.QUESTIONS)
    assert found == corpus.SCORES


@pytest.mark.parametrize(("source", "title"), cases("hang"))
def test_what_hangs_does_so_alone_too(source, title):
    """The control: by itself it answers nothing, but where it is to."""
    program = (
        f"import numpy as np\n{source}\nprint('ready', flush=True)\n"
        "distances(np.zeros((3, 2)))\nprint('answered', flush=True)"
    )
    limited = ["prlimit", "--as=1000000000", "--core=0", sys.executable]
    if title.startswith("killed"):  # else the machine's processes, or ours
        apart = ["unshare", "--pid", "--fork", "--mount-proc"]
        limited = [*apart, "sh", "-c", '"$@"; true', "sh", *limited]
    alone = subprocess.Popen(
        [*limited, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert alone.stdout.readline() == b"ready\n"
        answered, _, _ = select.select([alone.stdout], [], [], 2.0)
        line = alone.stdout.readline() if answered else b""
    finally:
        os.killpg(alone.pid, 9)
        alone.wait()
    assert (line == b"answered\n") == title.startswith("answer:")


def test_cells_that_sleep_within_their_limits_end_too(sandbox, monkeypatch):
    """Else two thousand of them would keep a class waiting for days."""
    monkeypatch.setattr("dgm_course.grading.examine.TOTAL", 2.0)
    cells = [*corpus.HONEST, *["import time\ntime.sleep(0.5)"] * 2000]
    start = time.monotonic()
    found, notes = run(sandbox, cells, corpus.QUESTIONS)
    assert time.monotonic() - start < 60
    assert sum(found.values()) == 0
    assert "has used all of its time" in list(notes.values())[-1]


@pytest.mark.parametrize("title", ["loop", "abort", "killed: by itself"])
def test_a_cell_that_hangs_or_dies_is_left_out(title, sandbox, monkeypatch):
    """The same at the level of cells, where it costs what it defines."""
    monkeypatch.setattr("dgm_course.grading.examine.CELL", 0.5)
    source = corpus.attacks("hang")[title] + "\ndistances(0)"
    cells = [corpus.HONEST[0], source, *corpus.HONEST[1:]]
    found, notes = run(sandbox, cells, corpus.QUESTIONS)
    assert found == corpus.SCORES
    assert "cell 2 was left out" in notes[1]
