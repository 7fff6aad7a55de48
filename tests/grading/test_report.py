"""What leaves the grader: right numbers, and no hidden input."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta

import corpus
import numpy as np
import pytest
from mangled import notebook

from dgm_course import cli
from dgm_course.grading import policy, report
from dgm_course.grading.marking import name_of
from dgm_course.grading.plain import original, plain

FOLDER = str(corpus.HERE / "assignments")
HOSTILE = """
import numpy as np
def sum_of_squares(x):
    raise type("LEAK" + "".join(f"{v:.3f}" for v in x.flat), (Exception,), {})(
        "LEAK " + repr(x))
def distances(x): return {"LEAK" + repr(x.tolist()): x, "<script>": 1}
def order_statistics(n): return "LEAK" + str(n)
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    top = tmp_path_factory.mktemp("report")
    given = top / "in"
    given.mkdir()
    cells = {
        "right": corpus.SOLUTION,
        "honest": [*corpus.HONEST, "raise ValueError('<b>&')"],
        "hostile": [HOSTILE],
        "=cmd()": corpus.SOLUTION,
    }
    for name, source in cells.items():
        data = json.dumps(notebook(source, "<script>alert(1)</script> ### x"))
        (given / f"{name}.ipynb").write_text(data)
    (given / "broken.ipynb").write_text("no")
    (top / "list.csv").write_text(
        "id,name,submitted\n"
        "right,Ann,2026-12-01T12:00:00+00:00\n"
        "honest,Bob,2026-12-03T12:00:00+00:00\n"
        "hostile,Eve,\n=cmd(),Mal,\nbroken,Dan,\nquiet,Zoe,\n"
    )
    (top / "late.toml").write_text(
        "deadline = 2026-12-02T00:00:00+00:00\nper_day = 0.1\nmost = 0.5\n"
    )
    words = ["grade", "t1", str(given), "--out", str(top / "out")]
    words += ["--assignments", FOLDER, "--roster", str(top / "list.csv")]
    words += ["--policy", str(top / "late.toml")]
    assert cli.main(words) == 0
    return top / "out", words


def table(out):
    with open(out / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_grades(graded):
    rows = table(graded[0])
    assert list(rows) == [
        "right",
        "honest",
        "hostile",
        "'=cmd()",
        "broken",
        "quiet",
    ]
    assert [rows["right"][k] for k in ("t1.q1", "t1.q2", "t1.q3")] == list(
        "211"
    )
    assert rows["right"]["total"] == "4" and rows["right"]["days late"] == "0"
    assert rows["honest"]["days late"] == "2"
    assert float(rows["honest"]["total"]) == pytest.approx(3 * 0.8)
    assert rows["hostile"]["total"] == "0"
    assert rows["broken"]["status"] == "refused"
    assert rows["quiet"]["status"] == "nothing handed in"


def test_nothing_hidden_leaks(graded):
    """Neither the inputs, which student code saw, nor expected values."""
    out = graded[0]
    texts = [
        path.read_text("utf-8-sig")
        for path in out.rglob("*")
        if path.is_file() and path.parent.name in ("feedback", "gradescope")
    ]
    texts.append((out / "grades.csv").read_text("utf-8-sig"))
    assert len(texts) > 8
    hidden = corpus.SMALL.questions[0].tests[0].arguments[0]
    digits = [f"{abs(v):.3f}" for v in hidden.flat]
    for text in texts:
        assert "LEAK" not in text and "<script" not in text
        assert not any(d in text for d in digits)


def test_feedback_says_what_was_wrong(graded):
    text = (graded[0] / "feedback/honest.html").read_text()
    assert "cell 4 stopped with ValueError: &lt;b&gt;&amp;" in text
    assert "2 days late: 20 percent" in text
    assert "color-scheme: light dark" in text


def test_results_for_gradescope(graded):
    content = json.loads((graded[0] / "gradescope/honest.json").read_text())
    assert content["score"] == pytest.approx(2.4)
    scores = {t["name"].split()[0]: t["score"] for t in content["tests"]}
    assert scores == {**corpus.SCORES, "t1.w1": 0}


def test_points_of_a_person_are_read_back(graded, capfd):
    out, words = graded
    path = out / "written/scores.csv"
    text = path.read_text("utf-8-sig")
    assert "right,t1.w1,," in text and "quiet" not in text
    path.write_text(text.replace("right,t1.w1,,", "right,t1.w1,1.5,good"))
    assert cli.main(words) == 0
    row = table(out)["right"]
    assert (row["t1.w1"], row["total"], row["status"]) == (
        "1.5",
        "5.5",
        "graded",
    )
    assert "good" in (out / "feedback/right.html").read_text()
    for cell, reason in [("7", "and t1.w1 has 2"), ("x", "is no number")]:
        path.write_text(text.replace("right,t1.w1,,", f"right,t1.w1,{cell},"))
        assert cli.main(words) == 1
        assert reason in capfd.readouterr().err
    path.write_text(text)
    answer = (out / "written/t1.w1.html").read_text()
    assert "&lt;script&gt;" in answer and "<script" not in answer


def test_items_and_summary(graded):
    with open(graded[0] / "items.csv", newline="") as file:
        rows = {(r["question"], r["test"]): r for r in csv.DictReader(file)}
    assert rows["t1.q2", "triangle"]["failed"] == "2"  # of honest, hostile
    assert rows["t1.q2", "triangle"]["of"] == "4"
    # passed by 1, 0, 0, 1; the points of the other tests are 3, 3, 0, 3
    expected = np.corrcoef([1, 0, 0, 1], [3, 3, 0, 3])[0, 1]
    shown = float(rows["t1.q2", "triangle"]["discrimination"])
    assert shown == pytest.approx(expected, abs=0.005)
    assert "4 graded" in (graded[0] / "summary.html").read_text()


def test_similarity_finds_the_copy(graded):
    pytest.importorskip("copydetect")
    with open(graded[0] / "similarity.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {rows[0]["one"], rows[0]["other"]} == {"right", "'=cmd()"}
    assert float(rows[0]["share"]) == 1


def test_exceptions_of_students_have_no_name():
    assert name_of("ZeroDivisionError") == "ZeroDivisionError"
    assert name_of("LEAK0.123") == "an exception"


def test_names_of_files_are_safe_and_differ():
    names = ["../../etc/passwd", "a b", "a_b", "a/b", "", "x" * 500, "Анна"]
    files = [report.file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert not any("/" in f or f.startswith(".") for f in files)


def test_no_name_takes_the_file_of_another():
    long = report.file_name("Anna B")
    names = ["Anna B", long, "ann", "Ann", "ANN"]
    files = [report.file_name(name).casefold() for name in names]
    assert len(set(files)) == len(names)
    assert report.file_name("ann") == "ann"


@pytest.mark.parametrize(
    "text", ["=1+1", "@x", "x;=1+1", "x;\t -1", "\uff1d1+1", "a\n=b", " =1"]
)
def test_no_cell_of_a_spreadsheet_is_a_formula(text):
    written = plain(text)
    for cell in re.split(r"[;,\t\r\n]", written):
        assert not re.match(r"\s*[=+\-@\uff1d]", cell)
    assert original(written) == text


LATE = policy.Policy(
    datetime(2026, 12, 1, tzinfo=UTC), 0.2, most=0.5, grace_minutes=10
)


@pytest.mark.parametrize(
    ("minutes", "days", "lost"),
    [
        (-5, 0, 0),
        (0, 0, 0),
        (10, 0, 0),
        (11, 1, 0.2),
        (1440, 1, 0.2),
        (1441, 2, 0.4),
        (99999, 70, 0.5),
    ],
)
def test_late_work(minutes, days, lost):
    time = LATE.deadline + timedelta(minutes=minutes)
    assert (LATE.days_late(time), LATE.share_lost(time)) == (days, lost)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deadline = 'soon'",
        "deadline = 2026-12-01T00:00:00",
        "deadline = 2026-12-01T00:00:00Z\nper_week = 1",
        "deadline = 2026-12-01T00:00:00Z\nper_day = 10",
        "deadline = ",
    ],
)
def test_a_broken_policy_is_refused(text, tmp_path):
    path = tmp_path / "late.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="deadline"):
        policy.read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"t1": "a9"}, "'a9' is no assignment"),
        ({"--workers": "0"}, "must be at least 1"),
        ({"--roster": "/nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_input_is_told_and_keeps_what_was_graded(
    change, reason, graded, capfd
):
    out, words = graded
    before = (out / "journal.jsonl").read_bytes(), table(out)
    changed = [change.get(word, word) for word in words]
    if "--workers" in change:
        changed += ["--workers", "0"]
    if "--roster" in change:
        changed[words.index("--roster") + 1] = change["--roster"]
    if "--roster" in change:
        changed[words.index("--roster")] = "--roster"
    assert cli.main(changed) == 1
    assert reason in capfd.readouterr().err
    assert ((out / "journal.jsonl").read_bytes(), table(out)) == before
