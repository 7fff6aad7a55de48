"""Which submissions share code, with each other and with the library.

Fingerprints of k-grams of tokens (Schleimer et al. 2003, "Winnowing"), by
copydetect: renamed variables and other comments change nothing. It finds what
to look at, and proves nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from .notebook import Refused, read
from .plain import plain

CHARACTERS = 200_000  # of one submission
TOKENS = 25  # the shortest match that is found for certain
SHOWN = 0.5  # share of the smaller one's code


class Pair(NamedTuple):
    """Two pieces of code that share much.

    Attributes:
        share: Of the smaller one's code that is in the other, 0 to 1.
        one: A student's id.
        other: A student's id, or a file of the library.
    """

    share: float
    one: str
    other: str


def pairs(
    codes: Mapping[str, str], library: Path, handed_out: Path | None
) -> list[Pair]:
    """Compare all with all.

    Args:
        codes: Student id -> code of all cells.
        library: Folder of Python files to compare with.
        handed_out: The notebook that students started from: its code is no
            match.

    Returns:
        Pairs above ``SHOWN``, the largest share first.

    Raises:
        ImportError: If copydetect is not installed.
    """
    try:
        import copydetect
    except ImportError as error:
        raise ImportError(
            "the similarity report needs `pip install copydetect`"
        ) from error

    def fingerprint(name: str, code: str, known: Any = None) -> Any:
        text = io.StringIO(code[:CHARACTERS])
        return copydetect.CodeFingerprint(
            f"{name}.py", TOKENS, 1, known, fp=text, language="python"
        )

    known: Any = None
    if handed_out is not None and handed_out.exists():
        try:
            cells = read(handed_out.read_bytes()).code
        except Refused as error:
            raise ValueError(f"{handed_out}: {error}") from error
        known = list(fingerprint("handed out", "\n".join(cells)).hashes)
    students = {
        name: fingerprint(name, code, known)
        for name, code in codes.items()
        if code.strip()
    }
    files = {
        str(path.relative_to(library.parent)): fingerprint(
            path.name, path.read_text("utf-8")
        )
        for path in sorted(library.rglob("*.py"))
        if "grading" not in path.parts
    }
    found = []
    for one, other in _candidates(students, files):
        a = students[one]
        b = students[other] if other in students else files[other]
        if not a.token_coverage or not b.token_coverage:
            continue
        _, (share_a, share_b), _ = copydetect.compare_files(a, b)
        # a file of the library is never copied as a whole
        share = max(share_a, share_b) if other in students else share_a
        if share >= SHOWN:
            found.append(Pair(round(float(share), 3), one, other))
    return sorted(found, key=lambda p: (-p.share, p.one, p.other))


def _candidates(
    students: Mapping[str, Any], files: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    every = [(a, b) for a, b in combinations(students, 2)]
    every += [(a, f) for a in students for f in files if f not in students]
    together = {**files, **students}
    for one, other in every:
        if set(together[one].hashes) & set(together[other].hashes):
            yield one, other


def pairs_csv(found: list[Pair]) -> str:
    """Return similarity.csv."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(Pair._fields)
    writer.writerows([p.share, plain(p.one), plain(p.other)] for p in found)
    return buffer.getvalue()
