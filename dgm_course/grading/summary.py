"""How the class did: a histogram, and what each hidden test tells apart."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .assignments import Assignment
from .pages import page, table
from .results import Result


class Item(NamedTuple):
    """One hidden test over the class.

    Attributes:
        question: Id of its question.
        test: Its name.
        failed: How many failed it.
        of: How many were graded.
        discrimination: Correlation of passing it with the points of all
            other tests; near 0 or below, it does not measure what the others
            measure. None where all or nobody passed, or the others are equal.
    """

    question: str
    test: str
    failed: int
    of: int
    discrimination: float | None


def items(results: Sequence[Result], assignment: Assignment) -> list[Item]:
    """Return the hidden tests in the order of the assignment."""
    graded = [r for r in results if r.outcomes]
    # a run can stop between the change of a test and its next grading
    found: dict[tuple[str, str], list[float]] = {}
    totals = np.array(
        [sum(o["points"] for o in r.outcomes.values()) for r in graded]
    )
    for r in graded:
        for question, outcome in r.outcomes.items():
            for mark in outcome["tests"]:
                key = (question, mark["test"])
                found.setdefault(key, []).append(float(mark["points"]))
    out = []
    for (question, test), points in found.items():
        earned = np.array(points)
        passed = earned > 0
        rest = totals - earned
        correlation = None
        if passed.std() > 0 and rest.std() > 0:
            correlation = float(np.corrcoef(passed, rest)[0, 1])
        failed = int((~passed).sum())
        out.append(Item(question, test, failed, len(passed), correlation))
    return out


def items_csv(found: Sequence[Item]) -> str:
    """Return items.csv."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(Item._fields)
    for item in found:
        shown = item.discrimination
        writer.writerow([*item[:-1], "" if shown is None else f"{shown:.2f}"])
    return buffer.getvalue()


def summary(
    results: Sequence[Result],
    left: Sequence[tuple[str, str]],
    assignment: Assignment,
) -> str:
    """Return the page for the instructor.

    Args:
        results: One a student.
        left: Submissions that count for nobody: source, why.
        assignment: What was asked.
    """
    totals = [r.total for r in results if r.outcomes and r.total is not None]
    states: dict[str, int] = {}
    for r in results:
        states[r.status] = states.get(r.status, 0) + 1
    parts = [
        table(
            ["status", "students"],
            [[k, str(v)] for k, v in states.items()],
            (1,),
        )
    ]
    if totals:
        t = np.array(totals)
        parts.append("<h2>Points</h2>")
        parts.append(
            f"<p>{len(t)} graded; mean {t.mean():.2f}, median "
            f"{np.median(t):.2f}, standard deviation {t.std():.2f}, of "
            f"{assignment.points:g}.</p>"
        )
        parts.append(_histogram(t, assignment.points))
    rows = [
        [
            f"{i.question} {i.test}",
            f"{i.failed} of {i.of}",
            "" if i.discrimination is None else f"{i.discrimination:.2f}",
        ]
        for i in items(results, assignment)
    ]
    if rows:
        parts.append("<h2>Hidden tests</h2>")
        parts.append(
            "<p>Discrimination is the correlation of passing a test with the "
            "points of all others. Look at tests near 0 or below.</p>"
        )
        head = ["test", "failed", "discrimination"]
        parts.append(table(head, rows, (1, 2)))
    odd = [[r.student.id, r.status, r.why] for r in results if r.why]
    odd += [[source, "counts for nobody", why] for source, why in left]
    if odd:
        parts.append("<h2>To look at</h2>")
        parts.append(table(["submission", "status", "why"], odd))
    return page(f"Summary of {assignment.name}", "\n".join(parts))


def _histogram(totals: np.ndarray, most: float) -> str:
    """Return bars, one for each whole point, with the counts as text."""
    edges = np.arange(0, np.floor(most) + 2)
    counts, _ = np.histogram(totals, edges)
    width, height, top = 36, 120, max(int(counts.max()), 1)
    bars = []
    for i, count in enumerate(counts):
        h, x = height * count / top, i * width
        bars.append(
            f'<rect x="{x + 3}" y="{height - h + 20:.1f}" width="{width - 6}" '
            f'height="{h:.1f}"></rect>'
            f'<text x="{x + width / 2}" y="{height + 36}" '
            f'text-anchor="middle">{i}</text>'
        )
        if count:
            bars.append(
                f'<text x="{x + width / 2}" y="{height - h + 15:.1f}" '
                f'text-anchor="middle">{count}</text>'
            )
    told = "; ".join(f"{i}: {c}" for i, c in enumerate(counts) if c)
    label = html.escape(f"Students by whole points. {told}")
    return (
        f'<svg role="img" aria-label="{label}" width="100%" '
        f'viewBox="0 0 {width * len(counts)} {height + 45}">'
        f"{''.join(bars)}</svg>"
    )
