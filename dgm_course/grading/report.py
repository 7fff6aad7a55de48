"""What leaves the grader: a CSV, feedback for students, Gradescope's files.

No hidden input and no expected value is in any of them.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ..files import atomic_write
from .assignments import Assignment
from .pages import page, table
from .plain import plain
from .results import Result


def save(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def number(value: float | None) -> str:
    """Write points without trailing zeros; nothing where there are none."""
    return "" if value is None else f"{round(value, 3):g}"


def grades(results: Sequence[Result], assignment: Assignment) -> str:
    """Return grades.csv: one row a student, one column a question."""
    ids = [question.id for question in assignment.questions]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    head = "id,name,status,submitted,days late,share lost".split(",")
    writer.writerow([*head, *ids, "total", "of", "remark"])
    for r in results:
        time = r.submitted.isoformat(timespec="seconds") if r.submitted else ""
        points = [number(r.points(i)) for i in ids]
        row = [plain(r.student.id), plain(r.student.name), r.status, time]
        row += [str(r.days_late), f"{r.lost:g}", *points, number(r.total)]
        writer.writerow([*row, number(assignment.points), plain(r.why)])
    return buffer.getvalue()


def file_name(student: str) -> str:
    """Return a name for a student's file that is safe and unique."""
    kept = re.sub(r"[^\w.-]+", "_", student)[:60].strip("._")
    # some disks do not tell A from a, and a name may end as ours do
    if kept == student.lower() and not re.search("-[0-9a-f]{8}$", kept):
        return kept
    return f"{kept}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def feedback(result: Result, assignment: Assignment) -> str:
    """Return the page that a student gets."""
    total = "not yet known" if result.total is None else number(result.total)
    parts = [f"<p>{html.escape(result.student.name)}: {result.status}.</p>"]
    parts.append(f"<p>Points: {total} of {number(assignment.points)}.</p>")
    if result.status == "refused":
        parts.append(f'<p class="bad">{html.escape(result.why)}</p>')
    if result.lost:
        parts.append(
            f"<p>{result.days_late} days late: {100 * result.lost:g} percent "
            "of the points are lost.</p>"
        )
    for question in assignment.questions:
        title = f"{question.id} {question.title}"
        earned = result.points(question.id)
        known = "not yet graded" if earned is None else number(earned)
        parts.append(f"<h2>{html.escape(title)}</h2>")
        parts.append(f"<p>Points: {known}, of {number(question.points)}.</p>")
        outcome = result.outcomes.get(question.id)
        if outcome:
            rows = [
                [
                    mark["test"],
                    f"{number(mark['points'])} of {number(mark['of'])}",
                    mark["feedback"] or "right",
                ]
                for mark in outcome["tests"]
            ]
            parts.append(table(["test", "points", "remark"], rows, (1,)))
        comment = result.comments.get(question.id)
        if comment:
            parts.append(f"<p>{html.escape(comment)}</p>")
    if result.notes:
        notes = "".join(
            f'<li class="note">{html.escape(n)}</li>' for n in result.notes
        )
        parts.append(f"<h2>Cells that did not run</h2><ul>{notes}</ul>")
    return page(f"Feedback on {assignment.name}", "\n".join(parts))


def gradescope(result: Result, assignment: Assignment) -> str:
    """Return a results.json as Gradescope reads it."""
    tests = []
    for question in assignment.questions:
        outcome = result.outcomes.get(question.id)
        points = result.points(question.id)
        remarks = [
            f"{mark['test']}: {mark['feedback'] or 'right'}"
            for mark in (outcome["tests"] if outcome else [])
        ]
        tests.append(
            {
                "name": f"{question.id} {question.title}",
                "score": points or 0,
                "max_score": question.points,
                "output": "\n".join(remarks) or "read by a person",
                "visibility": "visible",
            }
        )
    content = {
        "score": result.total or 0,
        "output": "\n".join([result.status, *result.notes]),
        "visibility": "visible",
        "tests": tests,
    }
    return json.dumps(content, indent=1)


def write(
    folder: Path, results: Sequence[Result], assignment: Assignment
) -> None:
    """Write grades.csv, feedback/ and gradescope/.

    Raises:
        OSError: If the folder cannot be written to.
    """
    for result in results:
        name = file_name(result.student.id)
        if result.status == "nothing handed in":
            continue
        page_of = feedback(result, assignment)
        save(folder / "feedback" / f"{name}.html", page_of)
        if result.status != "not graded":  # a fault of ours is no score
            text = gradescope(result, assignment)
            save(folder / "gradescope" / f"{name}.json", text)
    # with a mark, so that Excel takes it for UTF-8
    save(folder / "grades.csv", "\ufeff" + grades(results, assignment))
