"""Speed of the grader: starting a sandbox, and submissions per second.

    python benchmarks/grading.py [--quick] [--out results.json]

A sandbox is started next to a plain process with the same Python in turns; a
worker is ready when it has said so, numpy imported. Submissions go through the
same code as ``dgm grade``, one sandbox at a time for each core, without the
self-test and the reports. Numpy submissions answer three questions; torch
submissions are the solution of an assignment, whose last question trains a
density. All times are of the clock: run it on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/grading"))

import corpus  # noqa: E402
from harness import write  # noqa: E402

from dgm_course.grading import assignments, batch  # noqa: E402
from dgm_course.grading.assignments import Assignment  # noqa: E402
from dgm_course.grading.broker import Session  # noqa: E402
from dgm_course.grading.collect import Submission  # noqa: E402
from dgm_course.grading.journal import Journal  # noqa: E402
from dgm_course.grading.notebook import Cell, Notebook  # noqa: E402
from dgm_course.grading.sandbox import Sandbox  # noqa: E402

OUT = ROOT / "dgm_course/zoo/benchmarks/grading.json"


@dataclass
class Speed:
    """One measurement, with what it has to be."""

    task: str
    value: float
    unit: str
    target: str
    runs: int


def start(runs: int) -> list[Speed]:
    """Milliseconds until /bin/true has ended, and until a worker is ready."""
    took: dict[str, list[float]] = {}
    with Sandbox() as inside, Sandbox(unsafe=True) as plain:

        def clock(name: str, action: object) -> None:
            began = time.perf_counter()
            action()  # type: ignore[operator]
            took.setdefault(name, []).append(time.perf_counter() - began)

        def ends(where: Sandbox) -> None:
            process = where.start(["/bin/true"])
            process.process.wait()
            process.close()

        def ready(where: Sandbox) -> None:
            Session(where).close()

        for _ in range(runs):
            clock("true", lambda: ends(inside))
            clock("true, plain", lambda: ends(plain))
            clock("worker", lambda: ready(inside))
            clock("worker, plain", lambda: ready(plain))
    ms = {name: 1000 * statistics.median(t) for name, t in took.items()}
    more = ms["true"] - ms["true, plain"]
    later = ms["worker"] - ms["worker, plain"]
    return [
        Speed("sandbox start over a plain process", more, "ms", "<= 50", runs),
        Speed("worker ready over a plain one", later, "ms", "", runs),
        Speed("worker ready, plain", ms["worker, plain"], "ms", "", runs),
    ]


def submissions(cells: Sequence[str], count: int) -> list[Submission]:
    """The same notebook as many students would hand it in."""
    from datetime import UTC, datetime

    return [
        Submission(
            f"s{i}",
            (f"s{i}",),
            "",
            Notebook([Cell("code", c) for c in [*cells, f"number = {i}"]]),
            "",
            datetime.now(UTC),
        )
        for i in range(count)
    ]


def rate(
    cells: Sequence[str], assignment: Assignment, count: int
) -> tuple[float, float]:
    """Return submissions per second, and the median seconds of one."""
    single: list[float] = []
    examine = batch.examine

    def timed(*arguments: object) -> object:
        began = time.perf_counter()
        found = examine(*arguments)  # type: ignore[arg-type]
        single.append(time.perf_counter() - began)
        return found

    with (
        TemporaryDirectory() as folder,
        mock.patch.object(batch, "examine", timed),
        mock.patch.object(batch.selftest, "verify", lambda: None),
    ):
        journal = Journal(Path(folder, "journal.jsonl"))
        began = time.perf_counter()
        batch.run(submissions(cells, count), assignment, journal)
        whole = time.perf_counter() - began
        full = [
            mark["points"] == mark["of"]
            for outcome in journal.outcomes.values()
            for mark in outcome["tests"]
        ]
    assert full and all(full), "a solution has lost points"
    return count / whole, statistics.median(single)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two of each")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    many, few = (2, 1) if options.quick else (40, 6)
    rows = start(2 if options.quick else 20)
    each, median = rate(corpus.SOLUTION, corpus.SMALL, many)
    rows.append(Speed("numpy submissions", each, "1/s", ">= 2", many))
    rows.append(Speed("numpy submission, median", median, "s", "<= 1", many))
    from support import assignments as content

    for name in content.FOLDERS:
        solution, assignment = content.solution(name), assignments.load(name)
        each, median = rate(solution, assignment, few)
        rows.append(Speed(f"torch, {name}", each, "1/s", ">= 0.3", few))
        rows.append(Speed(f"torch, {name}, median", median, "s", "< 10", few))
    print(f"{os.cpu_count()} cores")
    for row in rows:
        print(f"{row.task:<36} {row.value:8.2f} {row.unit:<4} {row.target}")
    write(options.out, rows)


if __name__ == "__main__":
    main()
