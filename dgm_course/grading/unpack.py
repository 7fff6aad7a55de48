"""Opens the files of an export: folders, and zips in zips.

No link is followed, nothing but regular files is opened, nothing is unpacked to
disk, and what one student's zip may take is taken from no other student.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from . import notebook
from .notebook import Notebook, Refused

ZIPS = 4  # in each other
MEMBERS = 20_000
NAME = 255  # characters of a file's or folder's name
# bytes out of one file of an export, all zips in it together; each file that a
# zip holds counts as 10 kB or more
TOTAL = 1_000_000_000
LEAST = 10_000


@dataclass
class File:
    """A file of an export, read.

    Attributes:
        parts: Its path below what was given.
        notebook: Its cells; None where it is no notebook.
        problem: Why.
        time: When it came to the learning platform, or was last changed.
        changed: When its author says so: a date in a zip of the author's.
        source: Where it was found, for the instructor.
    """

    parts: tuple[str, ...]
    notebook: Notebook | None
    problem: str
    time: datetime
    changed: datetime
    source: str


@dataclass
class _Origin:
    """What is known about the file that an instructor got."""

    time: datetime
    # bytes that may still come out of it
    left: int = field(default_factory=lambda: TOTAL)


def is_zip(name: str) -> bool:
    """Say whether a name is that of a zip."""
    return name.lower().endswith(".zip")


def files(path: Path) -> Iterator[File]:
    """Read all files of a folder or a zip, or one file."""
    if path.is_dir():
        for folder, names, found in os.walk(path):
            names[:] = sorted(n for n in names if not _is_junk(n))
            for name in sorted(found):
                if not _is_junk(name):
                    inner = Path(folder, name)
                    yield from _open(inner, inner.relative_to(path).parts)
    else:
        yield from _open(path, (path.name,), top=True)


def _open(
    path: Path, parts: tuple[str, ...], top: bool = False
) -> Iterator[File]:
    """Read a regular file; what a student made a link is not followed."""
    origin = _Origin(datetime.fromtimestamp(path.lstat().st_mtime, UTC))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    if not top:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("not a regular file")
            if is_zip(path.name):
                # a zip that was given is an export: its members are what came
                # from students; any other zip is a student's
                given = None if top else origin
                here = () if top else parts
                yield from _members(file, here, origin.time, str(path), given)
                return
            data = file.read(notebook.BYTES + 1)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
        time = origin.time
        yield File(parts, None, reason, time, time, str(path))
        return
    yield _file(parts, data, origin, origin.time, str(path))


def _file(
    parts: tuple[str, ...],
    data: bytes,
    origin: _Origin,
    changed: datetime,
    source: str,
) -> File:
    found, problem = None, ""
    try:
        found = notebook.read(data)
    except Refused as error:
        problem = str(error)
    return File(parts, found, problem, origin.time, changed, source)


def _members(
    file: BinaryIO,
    above: tuple[str, ...],
    changed: datetime,
    source: str,
    given: _Origin | None,
    depth: int = 1,
) -> Iterator[File]:
    """Read a zip, and zips in it, within limits that no header can move."""

    def refused(parts: tuple[str, ...], reason: str, place: str) -> File:
        time = given.time if given else changed
        return File(parts, None, reason[:200], time, changed, place)

    here = above or (Path(source).name,)
    try:
        archive = zipfile.ZipFile(file)
        infos = archive.infolist()
    except Exception as error:
        yield refused(here, f"a broken zip ({error})", source)
        return
    if len(infos) > MEMBERS or depth > ZIPS:
        yield refused(here, "a zip with too much in it", source)
        return
    for info in infos:
        name = _name(info).replace("\\", "/")
        parts = tuple(
            p[:NAME] for p in name.split("/") if p not in ("", ".", "..")
        )
        if info.is_dir() or not parts or any(map(_is_junk, parts)):
            continue
        inside, place = (*above, *parts), f"{source}/{name}"[:500]
        time = changed
        with suppress(ValueError, OverflowError):
            time = datetime(*info.date_time).astimezone(UTC)
        origin = given or _Origin(time)
        if origin.left <= 0:
            yield refused(inside, "a zip bomb", place)
            return
        try:
            with archive.open(info) as member:
                data = member.read(min(notebook.BYTES, origin.left) + 1)
        except Exception as error:
            yield refused(inside, f"cannot be read ({error})", place)
            continue
        origin.left -= max(len(data), LEAST)
        if is_zip(parts[-1]):
            inner = io.BytesIO(data)
            yield from _members(inner, inside, time, place, origin, depth + 1)
        else:
            yield _file(inside, data, origin, time, place)


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
