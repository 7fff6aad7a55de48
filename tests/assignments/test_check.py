"""What a student sees: checks, points in reach, and the file to hand in."""

import json
import os
import sys
import types
from pathlib import Path

import pytest
import torch

from dgm_course import check
from dgm_course.grading import export

ROOT = Path(__file__).parents[2]
RIGHT = '''
import math
def bits_per_dim(log_density, dim, levels):
    """Bits."""
    return (dim * math.log(levels) - log_density) / (dim * math.log(2))
'''
WRONG = RIGHT.replace("math.log(levels) -", "math.log(levels + 1) -")
BLANK = '''
def iw_bound(log_p, log_q):
    """The bound."""
    ...  # your code here
'''


def run(*sources, **names):
    """Run cells in a name space of their own, and return it."""
    space = {"check": check, "In": [""], **names}
    for source in sources:
        space["In"].append(source)
        exec(source, space)
    return space


def test_a_right_answer_passes(capsys):
    space = run(RIGHT, 'check("a1.q1")', 'ok = check.passed("a1.q1")')
    assert capsys.readouterr().out == "a1.q1: passed, 1 point in reach.\n"
    assert space["ok"] is True


def test_a_wrong_answer_is_told_what_was_expected_and_what_came(capsys):
    space = run(WRONG, 'check("a1.q1")', 'ok = check.passed("a1.q1")')
    said = capsys.readouterr().out
    assert "a1.q1: not yet. bits of a uniform model over 256 levels" in said
    assert "expected [8] of shape (1,), got [8.00562] of shape (1,)" in said
    assert space["ok"] is False


@pytest.mark.parametrize(
    "source, said",
    [
        ("", "bits_per_dim is not defined here"),
        ("bits_per_dim = lambda *a: None", "not answered yet"),
        ("bits_per_dim = lambda *a: 8.0", "expected a tensor, got 8.0"),
        ("bits_per_dim = lambda a, b, c: a.sum()", "expected the shape (1,)"),
        ("bits_per_dim = lambda a, b, c: a / 0", "expected finite numbers"),
        ("bits_per_dim = lambda a: a", "raised TypeError"),
        ("bits_per_dim = 3", "raised TypeError"),
    ],
)
def test_what_is_no_answer_is_told_so(source, said, capsys):
    run(source, 'check("a1.q1")')
    out = capsys.readouterr().out
    assert said in out and out.startswith("a1.q1: ")


def test_cells_may_be_reordered_and_copied(capsys):
    """The last definition that ran counts, wherever its cell stands."""
    run(WRONG, BLANK, WRONG, RIGHT, 'check("a1.q1")')
    assert "passed" in capsys.readouterr().out
    run(RIGHT, RIGHT, WRONG, 'check("a1.q1")')
    assert "not yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a1.q99", "q1", "a0.q1", "", None, 3])
def test_an_unknown_question_is_refused(name):
    with pytest.raises(ValueError, match="a1"):
        check(name)


def test_random_numbers_of_the_student_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run("import torch\nbits_per_dim = lambda *a: torch.rand(1)",
        'check("a1.q1")')  # fmt: skip
    assert torch.equal(torch.rand(3), expected)


def test_all_counts_what_is_in_reach_and_says_who_decides(capsys):
    run(RIGHT, BLANK, "check.all()")
    out = capsys.readouterr().out
    assert "Points in reach: 1 of 9, and up to 4 for the written" in out
    assert "Hidden tests decide" in out
    assert "a1.w1: 2 points, read by a person." in out


def test_all_asks_where_it_cannot_tell():
    with pytest.raises(ValueError, match=r'check\.all\("a1"\)'):
        run("check.all()")
    with pytest.raises(ValueError, match="'a9' is no assignment"):
        run('check.all("a9")')


# the file to hand in


def notebook(*cells):
    made = [
        {"cell_type": kind, "metadata": {"x": 1}, "source": source}
        for kind, source in cells
    ]
    for cell in made:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [{"text": "9" * 1000}], "execution_count": 7}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


ANSWER = f"### Answer a1.w1\n\n{export.EMPTY}"
CELLS = [
    ("code", RIGHT),
    ("markdown", ANSWER.replace(export.EMPTY, "By Jensen.")),
    ("code", BLANK),
    ("markdown", ANSWER.replace("w1", "w2")),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return tmp_path


def handed_in(folder):
    return json.loads((folder / "a1_submission.ipynb").read_text())


def save(path, *cells):
    path.write_text(json.dumps(notebook(*cells)), encoding="utf-8")
    return path


def test_export_finds_the_notebook_that_holds_the_cells(folder, capsys):
    """Any name, any place among other notebooks, as nbclient leaves it."""
    save(folder / "Домашнее задание (1).ipynb", *CELLS)
    save(folder / "other.ipynb", ("code", "1"))
    (folder / "broken.ipynb").write_text("{")
    run(RIGHT, BLANK, 'check.export("a1")')
    said = capsys.readouterr().out
    assert "Домашнее задание (1).ipynb" in said
    assert "a1.q1" not in said and "a1.w1" not in said
    assert "a1.q2: iw_bound is not answered yet" in said
    assert "a1.w2: no written answer" in said
    made = handed_in(folder)
    assert [c["source"] for c in made["cells"]] == [c[1].strip() for c in CELLS]
    assert made["metadata"]["dgm"]["assignment"] == "a1"
    assert not any(c.get("outputs") for c in made["cells"])


@pytest.mark.parametrize("how", ["vscode", "jupyter", "renamed"])
def test_export_takes_the_editor_at_its_word(folder, how, monkeypatch, capsys):
    """Two files hold the cells: the one that the editor names is taken."""
    away = folder / "away"
    away.mkdir()
    path = save(away / "mine.ipynb", *CELLS, ("markdown", "mine"))
    save(folder / "copy.ipynb", *CELLS)
    names = {"__vsc_ipynb_file__": str(path)} if how == "vscode" else {}
    if how == "jupyter":
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    if how == "renamed":  # since the kernel started
        monkeypatch.setenv("JPY_SESSION_NAME", str(away / "old.ipynb"))
    run(RIGHT, BLANK, "check.export()", **names)
    mine = handed_in(folder)["cells"][-1]["source"] == "mine"
    assert mine == (how != "renamed")


def test_export_warns_of_what_was_not_saved(folder, capsys):
    save(folder / "mine.ipynb", *CELLS)
    better = RIGHT.replace("Bits", "Bits, better").replace("dim *", "1 * dim *")
    run(RIGHT, BLANK, better, "check.export()")
    said = capsys.readouterr().out
    assert "bits_per_dim here is not what the file holds: SAVE" in said


def test_export_asks_colab(folder, monkeypatch, capsys):
    sent = []
    google = types.ModuleType("google")
    colab = types.ModuleType("google.colab")
    colab._message = types.SimpleNamespace(
        blocking_request=lambda name, timeout_sec: {"ipynb": notebook(*CELLS)}
    )
    colab.files = types.SimpleNamespace(download=sent.append)
    google.colab = colab
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    run(RIGHT, "check.export()")
    assert "this browser tab" in capsys.readouterr().out
    assert sent == [str(folder / "a1_submission.ipynb")]
    assert len(handed_in(folder)["cells"]) == len(CELLS)


def test_export_falls_back_on_the_cells_that_ran(folder, capsys):
    run(RIGHT, BLANK, "check.export()")
    said = capsys.readouterr().out
    assert "Written answers are NOT in it" in said
    assert "a1.w1: no written answer" in said
    sources = [c["source"] for c in handed_in(folder)["cells"]]
    assert sources == [RIGHT.strip(), BLANK.strip(), "check.export()"]


def test_export_of_nothing_writes_nothing(folder, capsys):
    """The cell runs in the grader's sandbox too, where there is no file."""
    space = {"check": check}
    exec('check.export("a1")', space)
    assert "nothing was written" in capsys.readouterr().out
    assert os.listdir(folder) == []


def test_export_of_an_untouched_notebook_writes_nothing(folder, capsys):
    """The book and the tests run it too: they leave no file behind."""
    cells = [("code", BLANK), ("markdown", ANSWER)]
    save(folder / "mine.ipynb", *cells)
    run(BLANK, 'check.export("a1")')
    assert "Nothing of a1 is answered yet" in capsys.readouterr().out
    assert os.listdir(folder) == ["mine.ipynb"]


@pytest.mark.parametrize("name", ["a1", "a2", "a3", "a4", "a5", "a6"])
def test_the_real_notebooks_lack_everything_but_what_was_done(
    folder, name, capsys
):
    (path,) = (ROOT / "assignments").glob(f"{name}_[!s]*.ipynb")
    (folder / "mine.ipynb").write_bytes(path.read_bytes())
    run(f'check.export("{name}", notebook="mine.ipynb")')
    assert f"Nothing of {name} is answered yet" in capsys.readouterr().out
    made = json.loads(path.read_text())
    answers = [c for c in made["cells"] if "# Answer" in c["source"][0]]
    answers[0]["source"] = [f"### Answer {name}.w1\n", "\n", "So it is."]
    (folder / "mine.ipynb").write_text(json.dumps(made))
    run(f'check.export("{name}", notebook="mine.ipynb")')
    said = capsys.readouterr().out
    assert f"{name}.w2: no written answer" in said
    assert f"{name}.w1" not in said
    for function in ("train", "log_prob", "sample"):
        assert f"{function} is not answered yet" in said


def test_export_refuses_what_is_no_notebook(folder):
    (folder / "x.ipynb").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.ipynb is no notebook"):
        run(RIGHT, 'check.export("a1", notebook="x.ipynb")')
    with pytest.raises(FileNotFoundError):
        run(RIGHT, 'check.export("a1", notebook="y.ipynb")')


def test_a_photograph_is_an_answer(folder, capsys):
    cells = notebook(("code", RIGHT), ("markdown", ANSWER))
    cells["cells"][1]["attachments"] = {"a.png": {"image/png": "AA=="}}
    (folder / "mine.ipynb").write_text(json.dumps(cells))
    run(RIGHT, "check.export()")
    assert "a1.w1" not in capsys.readouterr().out
    assert handed_in(folder)["cells"][1]["attachments"]


def test_export_needs_no_other_package(folder):
    """No nbformat, no IPython: what the package needs, it has."""
    import subprocess

    code = (
        "import sys\n"
        "for n in ('nbformat', 'IPython', 'nbclient', 'yaml', 'requests'):\n"
        "    sys.modules[n] = None\n"
        "from dgm_course import check\n"
        f"In = ['', {RIGHT!r}]\n"
        "exec(In[1])\n"
        "check('a1.q1')\n"
        "check.export('a1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "a1.q1: passed" in done.stdout and "Wrote" in done.stdout
