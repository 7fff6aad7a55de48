"""Bugs put in on purpose, one module per notebook.

``chapter_04.py`` breaks what the chapter whose file starts with "04" checks,
``errata.py`` what errata.ipynb does. A mutant names the rows of the check
cells, "theorem: claim", that have to fail. Most break the library::

    @breaks("Theorem 4.1: ladj = log|det J|")
    def flip_maf(monkeypatch):
        ...

Where a check has no library code behind it, a line of the notebook itself is
replaced by a wrong one::

    forget_log = rewrite(
        "p.log().sum()", "p.sum()", "Erratum 8.1: with the log it is the ELBO"
    )
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """What is broken, and the rows that must notice.

    Attributes:
        rows: Rows of check cells, as "theorem: claim".
        apply: Breaks the library through pytest's ``monkeypatch``.
        line: Part of a code cell, and what takes its place.
    """

    rows: tuple[str, ...]
    apply: Callable[[Any], None] = lambda monkeypatch: None
    line: tuple[str, str] | None = None


def breaks(*rows: str) -> Callable[[Callable[[Any], None]], Mutant]:
    """Make a mutant of a function that breaks the library."""
    return lambda apply: Mutant(rows, apply)


def rewrite(old: str, new: str, *rows: str) -> Mutant:
    """Make a mutant of a line that stands in the notebook itself."""
    return Mutant(rows, line=(old, new))
