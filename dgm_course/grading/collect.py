"""Finds submissions in what an LMS exports: folders, and zips in zips.

Names come from students and are only ever compared and shown. No link is
followed, nothing but regular files is opened, nothing is unpacked to disk.
"""

from __future__ import annotations

import io
import os
import re
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from . import notebook
from .notebook import Notebook, Refused

ZIPS = 4  # in each other
MEMBERS = 20_000
TOTAL = 4_000_000_000  # bytes out of one zip

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
        time: When the file was last changed.
    """

    who: str
    keys: tuple[str, ...]
    source: str
    notebook: Notebook | None
    problem: str
    time: datetime


@dataclass
class _File:
    parts: tuple[str, ...]  # below the collection
    notebook: Notebook | None
    problem: str
    time: datetime
    source: str


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
    by_student: dict[tuple[str, ...], list[_File]] = {}
    names = Counter(path.name for path in paths)
    for path in paths:
        if not path.exists():
            raise ValueError(f"there is no {path}")
        files = list(_files(path))
        if path.is_dir() or _is_zip(path.name):
            _unwrap(files)
        notebooks = [f for f in files if _is_notebook(f)]
        alone = len(notebooks) == 1 and len(notebooks[0].parts) == 1
        named = alone and notebooks[0].parts[0].startswith(assignment)
        # a1.ipynb in a folder for each student
        same = path.is_file() and names[path.name] > 1
        name = path.resolve().parent.name if same else path.name
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


def _unwrap(files: list[_File]) -> None:
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


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _is_notebook(file: _File) -> bool:
    return file.parts[-1].lower().endswith((".ipynb", ".ipynb.json"))


def _choose(
    keys: tuple[str, ...], files: list[_File], assignment: str
) -> Submission:
    """Pick the notebook that counts among a student's files."""
    # a mail program renames notebooks: then whatever can be read counts
    candidates = [f for f in files if _is_notebook(f)] or files
    right, problems = [], []
    for file in candidates:
        said = file.notebook.assignment() if file.notebook else ""
        if file.notebook is None:
            problems.append(f"{file.parts[-1]}: {file.problem}")
        elif said not in ("", assignment):
            problems.append(f"{file.parts[-1]}: a notebook of {said}")
        else:
            right.append((said == assignment, file.time, file.source, file))
    if not right:
        newest = max(candidates, key=lambda f: f.time)
        reason = "; ".join(problems)[:500]
        source = printable(newest.source)
        who = printable(keys[0])
        return Submission(
            who, keys, source, None, printable(reason), newest.time
        )
    file = max(right, key=lambda r: r[:3])[3]
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


def _files(path: Path) -> Iterator[_File]:
    if path.is_dir():
        for folder, names, files in os.walk(path):
            names[:] = sorted(n for n in names if not _is_junk(n))
            for name in sorted(files):
                if not _is_junk(name):
                    inner = Path(folder, name)
                    yield from _open(inner, inner.relative_to(path).parts)
    else:
        yield from _open(path, (path.name,), top=True)


def _open(
    path: Path, parts: tuple[str, ...], top: bool = False
) -> Iterator[_File]:
    """Read a regular file; what a student made a link is not followed."""
    time = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    if not top:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("not a regular file")
            if _is_zip(path.name):
                above = () if top else parts
                yield from _members(file, above, time, str(path), 1)
                return
            data = file.read(notebook.BYTES + 1)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
        yield _File(parts, None, reason, time, str(path))
        return
    yield _file(parts, data, time, str(path))


def _file(
    parts: tuple[str, ...], data: bytes, time: datetime, source: str
) -> _File:
    try:
        return _File(parts, notebook.read(data), "", time, source)
    except Refused as error:
        return _File(parts, None, str(error), time, source)


def _members(
    file: BinaryIO,
    above: tuple[str, ...],
    time: datetime,
    source: str,
    depth: int,
) -> Iterator[_File]:
    """Read a zip, and zips in it, within limits that no header can move."""
    here = above or (Path(source).name,)
    try:
        archive = zipfile.ZipFile(file)
        infos = archive.infolist()
    except Exception as error:
        reason = f"a broken zip ({error})"[:200]
        yield _File(here, None, reason, time, source)
        return
    if len(infos) > MEMBERS or depth > ZIPS:
        yield _File(here, None, "a zip with too much in it", time, source)
        return
    total = 0
    for info in infos:
        name = _name(info).replace("\\", "/")
        parts = tuple(p for p in name.split("/") if p not in ("", ".", ".."))
        if info.is_dir() or not parts or any(map(_is_junk, parts)):
            continue
        inside, place = (*above, *parts), f"{source}/{name}"[:500]
        with suppress(ValueError, OverflowError):
            time = datetime(*info.date_time).astimezone(UTC)
        try:
            with archive.open(info) as member:
                data = member.read(notebook.BYTES + 1)
        except Exception as error:
            reason = f"cannot be read ({error})"[:200]
            yield _File(inside, None, reason, time, place)
            continue
        total += len(data)
        if total > TOTAL:
            yield _File(inside, None, "a zip bomb", time, place)
            return
        if _is_zip(parts[-1]):
            inner = io.BytesIO(data)
            yield from _members(inner, inside, time, place, depth + 1)
        else:
            yield _file(inside, data, time, place)


def _name(info: zipfile.ZipInfo) -> str:
    """Undo zipfile's guess at names that are not marked as UTF-8."""
    if info.flag_bits & 0x800:
        return info.filename
    for encoding in ("utf-8", "cp866"):  # macOS and Linux; Windows, Cyrillic
        with suppress(UnicodeError):
            return info.filename.encode("cp437").decode(encoding)
    return info.filename


def _is_junk(name: str) -> bool:
    return name.startswith(("._", ".DS_Store")) or name in (
        "__MACOSX",
        ".ipynb_checkpoints",
    )
