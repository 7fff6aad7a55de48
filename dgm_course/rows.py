"""Rows of check cells: what was measured, and what a notebook keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a check measured: shown on demand, since digits vary by machine."""

    theorem: str
    claim: str
    error: float
    tolerance: float


@dataclass(frozen=True)
class Row:
    """One printed row of a check cell, read back from a notebook."""

    theorem: str
    claim: str
    tolerance: str
    outcome: str


OUTCOMES: list[Outcome] = []


def show_measured() -> None:
    """Print the error and the tolerance of every check made so far."""
    print(f"{'theorem':<15} {'claim':<40} {'error':>9} {'allowed':>9}")
    for o in OUTCOMES:
        row = f"{o.theorem:<15} {o.claim:<40}"
        print(f"{row} {o.error:>9.1e} {o.tolerance:>9.1e}")


def collect_rows(notebook: str | Path) -> list[Row]:
    """Read the rows that the check cells of a stored notebook printed.

    Args:
        notebook: Path of an .ipynb file.

    Returns:
        One row per claim, in the order of the cells.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    text = "".join(
        "".join(output.get("text", []))
        for cell in cells
        if "nbval-check-output" in cell["metadata"].get("tags", [])
        for output in cell["outputs"]
    )
    rows = [line.split(" | ") for line in text.splitlines()]
    return [Row(*(p.strip() for p in row)) for row in rows if len(row) == 4]
