"""Finds the submissions in what an LMS exports: whose is which file.

Names come from students and are only ever compared and shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import unpack
from .notebook import Notebook
from .unpack import File

# Name_1234567_assignsubmission_file_, a folder or the start of a file
_MOODLE = re.compile(r"^(?P<who>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_?")
# lovelaceada_LATE_4711_99123_notebook-1.ipynb
_CANVAS = re.compile(r"^(?P<who>[^_]+?)_(?:LATE_)?(?P<id>\d+)_\d+_.")


@dataclass
class Submission:
    """What one student handed in, or why it cannot be graded.

    Attributes:
        who: How the export calls the student: a name, an id, a file's name.
        keys: All that may identify the student in a roster.
        source: Where it was found, for the instructor.
        notebook: Its cells; None where it was refused.
        problem: Why, or something to know about what was graded.
        time: When the file came to the learning platform, or was last
            changed.
    """

    who: str
    keys: tuple[str, ...]
    source: str
    notebook: Notebook | None
    problem: str
    time: datetime


def normal(name: str) -> str:
    """Return a name in the form in which names are compared."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(re.sub(r"[\s_]+", " ", text).split())


def printable(text: str) -> str:
    """Return a name without what a terminal or a file would choke on."""
    text = text.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def collect(paths: Sequence[Path], assignment: str) -> list[Submission]:
    """Find one submission a student.

    Args:
        paths: Notebooks; or folders and zips, each entry of which belongs to
            one student (to whom a whole zip or folder belongs that holds
            one notebook, named after the assignment).
        assignment: Name of the assignment: among a student's notebooks that
            of the assignment counts, then the newest.

    Raises:
        ValueError: If a path does not exist, or nothing was found.
    """
    by_student: dict[tuple[str, ...], list[File]] = {}
    names = Counter(path.name for path in paths)
    for path in paths:
        if not path.exists():
            raise ValueError(f"there is no {path}")
        files = list(unpack.files(path))
        if path.is_dir() or unpack.is_zip(path.name):
            _unwrap(files)
        notebooks = [f for f in files if _is_notebook(f)]
        alone = len(notebooks) == 1 and len(notebooks[0].parts) == 1
        named = alone and notebooks[0].parts[0].startswith(assignment)
        # a1.ipynb in a folder for each student
        same = path.is_file() and names[path.name] > 1
        name = path.resolve().parent.name if same else path.name
        if named and path.is_file():  # a student wrote the dates in it
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            for file in files:
                file.time = changed
        for file in files:
            unit = name if named or same else file.parts[0]
            by_student.setdefault(_student(_stem(unit)), []).append(file)
    if not by_student:
        raise ValueError(
            f"no submission in {', '.join(map(str, paths))}; give notebooks, "
            "folders or zips"
        )
    found = [_choose(k, f, assignment) for k, f in by_student.items()]
    return sorted(found, key=lambda s: (normal(s.who), s.source))


def _unwrap(files: list[File]) -> None:
    """Drop a folder that holds the students' folders and nothing else."""
    while files and all(len(f.parts) > 1 for f in files):
        tops = {f.parts[0] for f in files}
        deep = all(len(f.parts) > 2 for f in files)
        lms = any(_from_lms(f.parts[1]) for f in files)
        if len(tops) > 1 or _from_lms(files[0].parts[0]) or not (deep or lms):
            return
        for f in files:
            f.parts = f.parts[1:]


def _student(unit: str) -> tuple[str, ...]:
    """Return what tells an entry's student from others: a name, an id."""
    match = _MOODLE.match(unit) or _CANVAS.match(unit)
    return (match["who"], match["id"]) if match else (unit,)


def _from_lms(name: str) -> bool:
    return len(_student(name)) > 1


def _stem(name: str) -> str:
    return re.sub(r"(\.ipynb|\.zip|\.json|\.txt)+$", "", name, flags=re.I)


def _is_notebook(file: File) -> bool:
    return file.parts[-1].lower().endswith((".ipynb", ".ipynb.json"))


def _choose(
    keys: tuple[str, ...], files: list[File], assignment: str
) -> Submission:
    """Pick the notebook that counts among a student's files."""
    # a mail program renames notebooks: then whatever can be read counts
    candidates = [f for f in files if _is_notebook(f)] or files
    right: list[tuple[bool, datetime, datetime, str, File]] = []
    problems: dict[str, list[str]] = {}
    for file in candidates:
        said = file.notebook.assignment() if file.notebook else ""
        if file.notebook is None:
            problems.setdefault(file.problem, []).append(file.parts[-1])
        elif said not in ("", assignment):
            problem = f"a notebook of {said}"
            problems.setdefault(problem, []).append(file.parts[-1])
        else:
            order = (said == assignment, file.time, file.changed, file.source)
            right.append((*order, file))
    if not right:
        newest = max(candidates, key=lambda f: f.time)
        reason = "; ".join(
            f"{first}{f' and {len(more)} more' if more else ''}: {why}"
            for why, (first, *more) in problems.items()
        )
        source = printable(newest.source)
        who = printable(keys[0])
        return Submission(
            who, keys, source, None, printable(reason), newest.time
        )
    file = max(right, key=lambda r: r[:4])[4]
    problem = ""
    if len(candidates) > 1:
        name = printable(file.parts[-1])
        problem = f"{len(candidates)} files; graded: {name}"
    return Submission(
        printable(keys[0]),
        keys,
        printable(file.source),
        file.notebook,
        problem,
        file.time,
    )
