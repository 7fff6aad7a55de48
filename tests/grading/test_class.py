"""A whole class is graded with one command, whatever is among it."""

import csv
import subprocess
import sys
import time

import classroom
import numpy as np
import pytest
from support import assignments as content

from dgm_course import cli
from dgm_course.grading import assignments
from dgm_course.grading.collect import collect

pytestmark = pytest.mark.slow


def written_by(name, folder, **sizes):
    members = classroom.students(
        assignments.load(name).questions,
        content.solution(name),
        content.student(name),
        **sizes,
    )
    classroom.export(folder, members)
    return members


def words(name, folder, out):
    roster = ["--roster", str(folder / "class.csv"), "--out", str(out)]
    return ["grade", name, str(folder / "export.zip"), *roster]


def rows_of(out):
    with open(out / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def check_scores(name, members, out):
    """Everybody loses what is wrong in the work, and nothing else."""
    rows, graded = rows_of(out), assignments.load(name).graded
    assert set(rows) == {*(m.id for m in members), classroom.ABSENT}
    assert rows[classroom.ABSENT]["status"] == "nothing handed in"
    for member in members:
        row = rows[member.id]
        if member.loses is ...:
            assert row["status"] == "refused" and row["remark"], member
            continue
        assert row["status"] == "written part open", row
        lost = {
            q.id for q in graded if not np.isclose(float(row[q.id]), q.points)
        }
        assert lost == member.loses, (member.id, member.name)
    # the untouched notebook earns nothing at all
    graded = {q.id for q in graded}
    untouched = [m for m in members if m.loses == graded]
    assert untouched and all(float(rows[m.id]["total"]) == 0 for m in untouched)


@pytest.mark.parametrize("name", ["a1", "a3", "a5"])
def test_forty_submissions(name, tmp_path):
    members = written_by(name, tmp_path)
    out = tmp_path / "out"
    assert cli.main(words(name, tmp_path, out)) == 0
    check_scores(name, members, out)
    text = (out / "summary.html").read_text("utf-8")
    assert "36 graded" in text
    for path in out.rglob("*.html"):
        text = path.read_text("utf-8")
        assert "<script" not in text and "<img" not in text
    for path in out.rglob("*.csv"):
        with open(path, encoding="utf-8-sig", newline="") as file:
            for cell in (c for row in csv.reader(file) for c in row):
                assert not cell.startswith("=")
    assert len(list((out / "feedback").iterdir())) == 40


def test_two_hundred_submissions(tmp_path):
    """A tenth of them hostile: one command, and nobody attends."""
    members = written_by("a1", tmp_path, sound=180, hostile=20)
    out = tmp_path / "out"
    assert cli.main(words("a1", tmp_path, out)) == 0
    check_scores("a1", members, out)
    assert "192 graded" in (out / "summary.html").read_text("utf-8")


def test_a_class_survives_kill_9(tmp_path):
    members = written_by("a1", tmp_path)
    out, once = tmp_path / "killed", tmp_path / "once"
    program = "from dgm_course.cli import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", program, *words("a1", tmp_path, out)]
    journal = out / "journal.jsonl"
    for n in (5, 20):
        run = subprocess.Popen(command, cwd=content.ROOT)
        end = time.monotonic() + 1200
        while not journal.exists() or journal.read_bytes().count(b"\n") < n:
            assert run.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        run.kill()
        run.wait()
    assert cli.main(words("a1", tmp_path, out)) == 0
    check_scores("a1", members, out)
    assert cli.main(words("a1", tmp_path, once)) == 0
    for name in ("grades.csv", "items.csv", "written/scores.csv"):
        assert (out / name).read_bytes() == (once / name).read_bytes()


def test_a_class_is_collected_in_seconds(tmp_path):
    """Bombs included: nothing of it is kept."""
    written_by("a1", tmp_path)
    start = time.process_time()
    found = collect([tmp_path / "export.zip"], "a1")
    assert len(found) == 40 and time.process_time() - start < 60
