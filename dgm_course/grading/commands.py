"""``dgm grade``: from a folder of submissions to a folder of grades."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import (
    assignments,
    batch,
    collect,
    policy,
    report,
    results,
    roster,
    similarity,
    summary,
    written,
)
from .assignments import Assignment
from .collect import Submission
from .journal import Journal


def grade(options: argparse.Namespace) -> int:
    """Grade; what was graded before is taken from the journal.

    Returns:
        0, or 1 if something could not be graded through no fault of the
        students: the same command tries that again.

    Raises:
        OSError: If the sandbox does not hold, or files cannot be written.
        ValueError: For input that is not as it should be.
    """
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers {options.workers}: must be at least 1")

    def path(name: str | None) -> Path | None:
        return Path(name) if name else None

    others, rules = path(options.assignments), path(options.policy)
    assignment = assignments.load(options.assignment, others)
    late = policy.read(rules) if rules else None
    listing = path(options.roster)
    students = roster.read(listing) if listing else None
    folder = Path(options.out)
    # a broken CSV is noticed before hours of work
    written.read(folder / "written", assignment)
    found = collect.collect(
        [Path(name) for name in options.submissions], assignment.name
    )
    listed = roster.without(found) if students is None else students
    chosen, left = roster.match(found, listed)
    journal = Journal(folder / "journal.jsonl")
    faults = batch.run(
        list(chosen.values()),
        assignment,
        journal,
        workers=options.workers,
        scheduler=options.scheduler,
        unsafe=options.unsafe,
    )
    rows = _report(
        folder, assignment, listed, chosen, left, journal, faults, late
    )
    _print(rows, left, folder)
    return int(any(r.status == "not graded" for r in rows))


def _report(
    folder: Path,
    assignment: Assignment,
    students: Sequence[roster.Student],
    chosen: Mapping[str, Submission],
    left: Sequence[tuple[Submission, str]],
    journal: Journal,
    faults: Mapping[str, str],
    late: policy.Policy | None,
) -> list[results.Result]:
    notebooks = {
        student.id: chosen[student.id].notebook
        for student in students
        if student.id in chosen
    }
    readable = {k: n for k, n in notebooks.items() if n is not None}
    written.write(folder / "written", assignment, readable)
    entered = written.read(folder / "written", assignment)
    rows = results.gather(
        students, chosen, assignment, journal, faults, entered, late
    )
    report.write(folder, rows, assignment)
    items = summary.items(rows, assignment)
    report.save(folder / "items.csv", summary.items_csv(items))
    elsewhere = [(s.source, why) for s, why in left]
    page = summary.summary(rows, elsewhere, assignment)
    report.save(folder / "summary.html", page)
    _similar(folder, assignment, readable)
    return rows


def _similar(
    folder: Path, assignment: Assignment, notebooks: Mapping[str, Any]
) -> None:
    codes = {key: "\n".join(n.code) for key, n in notebooks.items()}
    library = Path(__file__).parents[1]
    public = assignment.folder.parents[1] / f"{assignment.folder.name}.ipynb"
    try:
        pairs = similarity.pairs(codes, library, public)
    except ImportError as error:
        print(f"dgm: {error}", file=sys.stderr)
        return
    text = similarity.pairs_csv(pairs)
    report.save(folder / "similarity.csv", text)


def _print(
    rows: Sequence[results.Result],
    left: Sequence[tuple[Submission, str]],
    folder: Path,
) -> None:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    print(", ".join(f"{n} {status}" for status, n in counts.items()))
    for row in rows:
        if row.status in ("refused", "not graded"):
            print(f"  {row.student.id}: {row.status}: {row.why}")
    for submission, why in left:
        print(f"  {submission.source}: counts for nobody: {why}")
    print(f"grades.csv, summary.html and more: {folder}")
