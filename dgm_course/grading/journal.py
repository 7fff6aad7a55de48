"""Keeps outcomes, so that a run goes on where it stopped.

One JSON line for each submission that was graded. A line is complete or, as
the last one after a kill, is ignored. What is looked up is the outcome of a
question (by a hash of all that decides it) for some code (by its hash): after
a change of one test only its question is graded again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .examine import Outcome


class Journal:
    """The outcomes in a file.

    Args:
        path: The file; it need not exist yet.

    Raises:
        OSError: If it cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.notes: dict[str, list[str]] = {}
        data = path.read_bytes() if path.exists() else b""
        for line in data.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # cut short by a kill
        self._torn = bool(data) and not data.endswith(b"\n")

    def _take(self, entry: dict[str, Any]) -> None:
        code = entry["code"]
        self.notes[code] = list(entry["notes"])
        for question, outcome in entry["outcomes"].items():
            self.outcomes[code, question] = outcome

    def add(
        self, code: str, outcomes: dict[str, Outcome], notes: list[str]
    ) -> None:
        """Append the outcomes of a submission, and wait for the disk.

        Raises:
            OSError: If they cannot be written; what was there before stays.
        """
        entry = {"code": code, "outcomes": outcomes, "notes": notes}
        line = json.dumps(entry, sort_keys=True).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write(b"\n" + line if self._torn else line)
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._take(json.loads(line))
