"""Grades in this process, without a sandbox: for tests of an assignment.

Never for submissions: what runs here can do all that the caller can.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .examine import Examination, Outcome
from .inside import wire
from .inside.worker import Worker
from .questions import AnyQuestion


class LocalSession:
    """A worker in this process; values go through the wire's format."""

    def __init__(self) -> None:
        self.worker, self.main = Worker(), sys.modules["__main__"]

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the worker's reply; nothing limits its time."""
        try:
            reply = self.worker.answer(wire.decode(wire.encode(request)[4:]))
        finally:
            sys.modules["__main__"] = self.main
        try:
            return wire.decode(wire.encode(reply)[4:])
        except TypeError as error:
            return {"error": "TypeError", "message": str(error)}

    def spent(self) -> float:
        """Nothing is counted."""
        return 0.0

    def close(self) -> None:
        """Nothing is held."""


def grade(
    cells: Sequence[str], questions: Sequence[AnyQuestion]
) -> dict[str, Outcome]:
    """Run cells, then grade.

    Args:
        cells: Sources of code cells, such as those of a solution, followed
            by ``Wrong.source``.
        questions: What to grade.

    Returns:
        Question id -> outcome: ``points``, and ``tests``, a list of
        dictionaries with ``test``, ``of``, ``points`` and ``feedback``.

    Raises:
        RuntimeError: If a cell raises: a solution must not.
    """
    examination = Examination(cells, LocalSession)
    outcomes = examination.grade(questions)
    if examination.notes:
        raise RuntimeError("; ".join(examination.notes.values()))
    return outcomes
