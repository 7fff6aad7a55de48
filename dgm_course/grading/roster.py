"""The class list, as Moodle and Canvas export it, and who handed in what."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .collect import Submission, normal

# columns of our own format, Moodle (English, Russian) and Canvas
_COLUMNS = {
    "id": ["id number", "индивидуальный номер", "sis user id", "student id"],
    "any id": [
        "id",
        "sis login id",
        "login id",
        "email address",
        "email",
        "username",
        "адрес электронной почты",
        "логин",
        "identifier",
        "идентификатор",
    ],
    "name": ["name", "full name", "student", "полное имя"],
    "first": ["first name", "имя"],
    "last": ["last name", "surname", "фамилия"],
    "submitted": ["submitted"],
}


@dataclass(frozen=True)
class Student:
    """A row of the class list.

    Attributes:
        id: What grades are returned under.
        name: For people.
        keys: All that identifies the student in an export, normalized.
        submitted: When the work came in, if the list says so.
    """

    id: str
    name: str
    keys: frozenset[str]
    submitted: datetime | None = None


def squash(name: str) -> str:
    """Return a name as Canvas writes it in file names: letters alone."""
    return re.sub(r"[\W_]+", "", normal(name))


def read(path: Path) -> list[Student]:
    """Read a class list.

    Args:
        path: A CSV file with a header: ``id,name`` with, if wanted,
            ``submitted`` (ISO 8601), or an export of Moodle or Canvas.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no class list, with the line that is broken.
    """
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "utf-16", "cp1251"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeError:
            continue
    else:
        raise ValueError(f"{path} is no text: save the class list as UTF-8")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    if not rows:
        raise ValueError(f"{path} is empty")
    header = [normal(name) for name in rows[0]]
    known = {name for names in _COLUMNS.values() for name in names}
    if not known & set(header):
        raise ValueError(
            f"{path} has the columns {', '.join(rows[0])}; a class list has "
            "id and name, or is an export of Moodle or Canvas"
        )
    students = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {number}: {len(row)} cells where the header has "
                f"{len(header)}: {delimiter.join(row)[:80]!r}"
            )
        student = _student(dict(zip(header, row)), path, number)
        if student is not None:
            students.append(student)
    ids = [student.id for student in students]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice or not students:
        raise ValueError(
            f"{path}: ids that stand twice: {', '.join(twice)}"
            if twice
            else f"{path} lists nobody"
        )
    return students


def _student(row: dict[str, str], path: Path, number: int) -> Student | None:
    def cell(kind: str) -> list[str]:
        found = [row.get(name, "").strip() for name in _COLUMNS[kind]]
        return [value for value in found if value]

    first, last = (" ".join(cell(kind)[:1]) for kind in ("first", "last"))
    name = " ".join(cell("name")[:1]) or f"{first} {last}".strip()
    if "points possible" in normal(name):
        return None  # Canvas keeps its maxima in a row of nobody
    ids = cell("id") + cell("any id")
    if not ids:
        raise ValueError(f"{path}, row {number}: no id for {name!r}")
    names = {name, f"{first} {last}".strip(), f"{last} {first}".strip()}
    if "," in name:  # "Lovelace, Ada"
        family, _, given = name.partition(",")
        names.add(f"{given.strip()} {family.strip()}")
    keys = {normal(n) for n in names} | {squash(n) for n in names}
    keys |= {normal(i) for i in ids}
    # Moodle's "Participant 1234567" is 1234567 in names of files
    keys |= {d for i in ids for d in re.findall(r"\d{5,}$", i)}
    text = " ".join(cell("submitted")[:1])
    try:
        submitted = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(
            f"{path}, row {number}: {text!r} is no time; write it as "
            "2026-12-01T23:59:00+03:00"
        ) from None
    if submitted and submitted.tzinfo is None:
        submitted = submitted.astimezone()
    return Student(ids[0], name or ids[0], frozenset(keys - {""}), submitted)


def match(
    submissions: Sequence[Submission], students: Sequence[Student]
) -> tuple[dict[str, Submission], list[tuple[Submission, str]]]:
    """Give each student the newest submission that can be graded.

    Ids go before names, so two students of one name are told apart where the
    export holds ids.

    Returns:
        Student id -> submission, and those that belong to nobody with why.
    """
    chosen: dict[str, Submission] = {}
    left: list[tuple[Submission, str]] = []
    for submission in submissions:
        owner, why = _owner(submission, students)
        if owner is None:
            left.append((submission, why))
            continue
        other = chosen.get(owner.id)
        if other is None:
            chosen[owner.id] = submission
            continue
        pair = sorted(
            (other, submission),
            key=lambda s: (s.notebook is not None, s.time, s.source),
        )
        chosen[owner.id] = pair[1]
        left.append((pair[0], f"{owner.id} handed in another one"))
    return chosen, left


def _owner(
    submission: Submission, students: Sequence[Student]
) -> tuple[Student | None, str]:
    name, *ids = submission.keys
    for keys in (ids, [name], [squash(name)]):
        wanted = {normal(key) for key in keys}
        found = [s for s in students if wanted & s.keys]
        if len(found) == 1:
            return found[0], ""
        if len(found) > 1:
            several = ", ".join(s.id for s in found)
            return None, f"may be of {several}: rename it to one of these ids"
    return None, "nobody of this name or id in the class list"


def without(submissions: Sequence[Submission]) -> list[Student]:
    """Make a class list out of the submissions themselves."""
    students: dict[str, Student] = {}
    for submission in submissions:
        name, *ids = submission.keys
        keys = frozenset(normal(key) for key in ids or [name])
        unique = " ".join([submission.who, *ids])
        students.setdefault(unique, Student(unique, submission.who, keys))
    return list(students.values())
