"""``check``: public checks in a student's notebook, and the hand-in.

    from dgm_course import check
    check("a1.q1")     one question: what was expected, and what came
    check.all()        the points in reach
    check.export()     the file to hand in, and what is missing from it

It looks functions up by their names where it is called. Cells may be
reordered, copied or renamed: the last definition that ran counts.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

ASSIGNMENTS = ("a1", "a2", "a3", "a4", "a5", "a6")


class Check:
    """The object ``check``; see the module."""

    def __call__(self, question: str) -> None:
        """Check one question and print what came out.

        Args:
            question: Its id, such as ``"a1.q1"``.

        Raises:
            ValueError: If there is no such question.
        """
        print(_outcome(_part(question), sys._getframe(1).f_globals)[1])

    def passed(self, question: str) -> bool:
        """Return whether the public check passes, and print nothing.

        Raises:
            ValueError: If there is no such question.
        """
        names = sys._getframe(1).f_globals
        with redirect_stdout(StringIO()):
            return _outcome(_part(question), names)[0]

    def all(self, assignment: str | None = None) -> None:
        """Check every question of an assignment; print the points in reach.

        Args:
            assignment: ``"a1"``; by default the one whose functions are
                defined in this notebook.

        Raises:
            ValueError: If there is no such assignment, or it cannot be told.
        """
        names = sys._getframe(1).f_globals
        assignment = assignment or _recognise(names)
        reach, most, written = 0.0, 0.0, 0.0
        for part in _parts(assignment):
            passed, line = _outcome(part, names)
            print(line)
            if not part.functions:
                written += part.points
                continue
            most += part.points
            reach += part.points * passed
        print(
            f"\nPoints in reach: {reach:g} of {most:g}, and up to "
            f"{written:g} for the written answers, which a person reads.\n"
            "This is no grade. Hidden tests decide: they call the same "
            "functions on\nother inputs, and train the model once more on "
            "other data."
        )

    def export(
        self,
        assignment: str | None = None,
        notebook: str | Path | None = None,
    ) -> None:
        """Write the file to hand in; print what is missing from it.

        Args:
            assignment: As in :meth:`all`.
            notebook: This notebook's file, where it is not found by itself.

        Raises:
            ValueError: If there is no such assignment, or the file is no
                notebook.
            OSError: If a file cannot be read or written.
        """
        from .export import export

        names = sys._getframe(1).f_globals
        assignment = assignment or _recognise(names)
        export(assignment, _parts(assignment), names, notebook)


check = Check()


def _parts(assignment: str) -> list[Any]:
    if assignment not in ASSIGNMENTS:
        raise ValueError(
            f"{assignment!r} is no assignment; there are "
            f"{', '.join(ASSIGNMENTS)}"
        )
    module = importlib.import_module(f"{__package__}.public.{assignment}")
    return module.PARTS


def _part(question: str) -> Any:
    match = re.fullmatch(r"\s*(a\d+)\.(\w+)\s*", str(question))
    if match is None:
        raise ValueError(
            f'{question!r} is no question; write check("a1.q1") or check.all()'
        )
    parts = {part.id: part for part in _parts(match[1])}
    if question.strip() not in parts:
        raise ValueError(f"{question!r} is none of {', '.join(parts)}")
    return parts[question.strip()]


def _recognise(names: Mapping[str, Any]) -> str:
    """Tell the assignment by the functions that a notebook defines."""
    found = {
        assignment: sum(
            name in names
            for part in _parts(assignment)
            if len(part.functions) == 1  # all have train, log_prob, sample
            for name in part.functions
        )
        for assignment in ASSIGNMENTS
    }
    best = max(found.values())
    if best == 0 or list(found.values()).count(best) > 1:
        raise ValueError(
            "it is not clear which assignment this is: run the cells that "
            'define its functions, or name it, as in check.all("a1")'
        )
    return max(found, key=lambda assignment: found[assignment])


def _outcome(part: Any, names: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether a check passed, and the line to print."""
    from .public import Mismatch

    points = f"{part.points:g} point" + "s" * (part.points != 1)
    if part.run is None:
        return False, f"{part.id}: {points}, read by a person."
    needed = (*part.functions, *part.needs)
    missing = [name for name in needed if name not in names]
    if missing:
        return False, (
            f"{part.id}: {missing[0]} is not defined here: run the cell that "
            "defines it."
        )
    try:
        with _own_random_numbers():
            part.run(*(names[name] for name in needed))
    except Mismatch as error:
        return False, f"{part.id}: not yet. {error}."
    except Exception as error:
        return False, (
            f"{part.id}: not yet. {part.functions[0]} raised "
            f"{type(error).__name__}: {error}"
        )
    return True, f"{part.id}: passed, {points} in reach."


class _own_random_numbers:  # noqa: N801, a context manager
    """Leave the student's generators as they were."""

    def __enter__(self) -> None:
        import torch

        self.torch, self.numpy = torch.get_rng_state(), np.random.get_state()

    def __exit__(self, *_: Any) -> None:
        import torch

        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)
