"""Written answers: out to a person, points back from a CSV."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import atomic_write
from .assignments import Assignment
from .notebook import Notebook
from .pages import page
from .plain import original, plain
from .questions import Written

SCORES = "scores.csv"


def write(
    folder: Path, assignment: Assignment, handed_in: Mapping[str, Notebook]
) -> None:
    """Write the answers, one page a question, the rubric and the CSV to fill.

    Points that a person has entered stay.

    Args:
        folder: ``written/`` of the output.
        assignment: Its written questions and rubric.
        handed_in: Student id -> notebook.

    Raises:
        OSError: If the folder cannot be written to.
        ValueError: If the CSV there cannot be read.
    """
    if not assignment.written:
        return
    entered = read(folder, assignment)
    for question in assignment.written:
        parts = [f"<p>{question.points:g} points. Enter them in {SCORES}.</p>"]
        for student, notebook in handed_in.items():
            answer = notebook.answer(question.id).strip() or "(no answer)"
            parts.append(
                f"<h2>{html.escape(student)}</h2>"
                f'<pre class="answer">{html.escape(answer)}</pre>'
            )
        text = page(f"{question.id}: {question.title}", "\n".join(parts))
        _save(folder / f"{question.id}.html", text)
    rubric = assignment.folder / "rubric.md"
    if rubric.exists():
        _save(folder / "rubric.md", rubric.read_text("utf-8"))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["student", "question", "points", "comment"])
    keys = [(s, q.id) for s in handed_in for q in assignment.written]
    for key in [*keys, *(k for k in entered if k not in keys)]:
        points, comment = entered.get(key, (None, ""))
        shown = "" if points is None else f"{points:g}"
        writer.writerow([plain(key[0]), key[1], shown, plain(comment)])
    _save(folder / SCORES, "\ufeff" + buffer.getvalue())


def read(
    folder: Path, assignment: Assignment
) -> dict[tuple[str, str], tuple[float | None, str]]:
    """Read the points that a person has entered.

    Returns:
        (student, question) -> points, None where there are none, and comment.

    Raises:
        ValueError: If the file is broken, with the row.
    """
    path = folder / SCORES
    if not path.exists():
        return {}
    most = {q.id: q.points for q in assignment.written}
    text = path.read_text("utf-8-sig")
    delimiter = ";" if text.split("\n", 1)[0].count(";") > 2 else ","
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    found: dict[tuple[str, str], tuple[float | None, str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        where = f"{path}, row {number}"
        if len(row) < 3:
            raise ValueError(f"{where}: needs student, question, points")
        student, question, cell = (c.strip() for c in row[:3])
        if question not in most:
            raise ValueError(
                f"{where}: {question!r} is none of {', '.join(most)}"
            )
        try:
            points = float(cell.replace(",", ".")) if cell else None
        except ValueError:
            raise ValueError(f"{where}: {cell!r} is no number") from None
        if points is not None and not 0 <= points <= most[question]:
            raise ValueError(
                f"{where}: {points:g} points, and {question} has "
                f"{most[question]:g}"
            )
        comment = original(row[3]) if len(row) > 3 else ""
        found[original(student), question] = (points, comment)
    return found


def missing(
    scores: Mapping[tuple[str, str], tuple[float | None, str]],
    student: str,
    questions: Sequence[Written],
) -> bool:
    """Say whether a person has still to read one of a student's answers."""
    return any(
        scores.get((student, q.id), (None, ""))[0] is None for q in questions
    )


def _save(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))
