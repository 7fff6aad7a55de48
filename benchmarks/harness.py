"""Time alternatives side by side, so that a ratio means something.

All alternatives of a task take turns, each round in another order, on the
same inputs; what is reported is the median over the rounds. CPU time is the
main number: on a shared machine wall time measures the neighbours.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

Task = Callable[[], object]


@dataclass
class Row:
    """One alternative of one task; times in milliseconds."""

    task: str
    name: str
    cpu_ms: float
    wall_ms: float
    rounds: int
    parameters: int
    # how much longer the fastest of the others takes, by CPU time
    speedup: float = float("nan")
    # max |x - g(f(x))| in the precision that was timed
    roundtrip: float = float("nan")


def compare(
    task: str,
    alternatives: dict[str, Task],
    parameters: dict[str, int],
    rounds: int,
    seconds: float,
) -> list[Row]:
    """Time the alternatives in turns and return one row for each.

    Args:
        task: Name for the table.
        alternatives: What is called, by name.
        parameters: Number of parameters, by name.
        rounds: How often each is called after one unmeasured call...
        seconds: ... unless this time is over; two rounds are always made.
    """
    names = list(alternatives)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names:
        alternatives[name]()
    began = time.monotonic()
    for k in range(rounds):
        if k >= 2 and time.monotonic() - began > seconds:
            break
        for name in names[k % len(names) :] + names[: k % len(names)]:
            cpu, wall = time.process_time(), time.perf_counter()
            alternatives[name]()
            times[name].append(
                (time.process_time() - cpu, time.perf_counter() - wall)
            )
    rows = []
    for name in names:
        cpu_ms, wall_ms = (
            1000 * statistics.median(column) for column in zip(*times[name])
        )
        done = len(times[name])
        rows.append(Row(task, name, cpu_ms, wall_ms, done, parameters[name]))
    return rows


def add_speedups(rows: list[Row], own: str) -> None:
    """Compare the rows whose name starts with ``own`` with the best other."""
    for task in {row.task for row in rows}:
        same = [row for row in rows if row.task == task]
        others = [r.cpu_ms for r in same if not r.name.startswith(own)]
        for row in same:
            if others and row.name.startswith(own):
                row.speedup = min(others) / row.cpu_ms


def print_table(rows: list[Row]) -> None:
    """Print the rows, one task after the other."""
    head = ("cpu ms", "wall ms", "speedup", "round trip", "parameters", "n")
    print(f"{'':<22}" + "".join(f"{word:>12}" for word in head))
    task = None
    for row in rows:
        if row.task != task:
            task = row.task
            print(task)
        speedup = "" if row.speedup != row.speedup else f"{row.speedup:.2f}x"
        error = "" if row.roundtrip != row.roundtrip else f"{row.roundtrip:.0e}"
        print(
            f"  {row.name:<20}{row.cpu_ms:>12.2f}{row.wall_ms:>12.2f}"
            f"{speedup:>12}{error:>12}{row.parameters:>12,}{row.rounds:>12}"
        )


def machine() -> dict[str, str | int]:
    """Describe what the times were measured on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d"),
    }


def write(path: Path, rows: list[Row], **about: object) -> None:
    """Write machine, versions and rows as JSON (NaN becomes null)."""
    plain = [
        {k: None if v != v else v for k, v in asdict(row).items()}
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**machine(), **about, "rows": plain}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {path}")
