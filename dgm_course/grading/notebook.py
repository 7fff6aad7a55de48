"""Reads the cells of a notebook, however it was mangled on its way.

Students hand in what Colab, a mail program and an archiver have left of a
notebook. What holds cells is read; everything else is refused with a line
that says why, and nothing in a file is ever run or followed here.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

BYTES = 200_000_000  # of a file: outputs may be large
SOURCE = 4_000_000  # characters in all cells together
CELLS = 2_000
VALUES = 5_000_000  # in the file: each takes about 80 bytes of memory
_ENCODINGS = ("utf-8-sig", "cp1251", "latin-1")
_MARKS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[,\[{]', re.S)
_IDS = re.compile(r"\b(a\d+)\.[qw]\d+\b")


class Refused(ValueError):
    """What was handed in is no notebook; the text says why."""


@dataclass
class Cell:
    """One cell.

    Attributes:
        kind: "code" or "markdown".
        source: Its text.
        marks: Strings that may identify it: its id, ``metadata.dgm``.
    """

    kind: str
    source: str
    marks: tuple[str, ...] = ()


@dataclass
class Notebook:
    """The cells of a submission, without outputs.

    Attributes:
        cells: In order.
        said: The assignment that the file's metadata names, or "".
    """

    cells: list[Cell]
    said: str = ""
    code: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.code = [c.source for c in self.cells if c.kind == "code"]

    def assignment(self) -> str:
        """Return the assignment that it answers, as far as it says so."""
        text = "\n".join(cell.source for cell in self.cells)
        names = Counter(_IDS.findall(text))
        most = names.most_common(1)
        return self.said or (most[0][0] if most else "")

    def digest(self) -> str:
        """Return a hash of the code, which decides all scores but written."""
        return hashlib.sha256(json.dumps(self.code).encode()).hexdigest()

    def answer(self, question: str) -> str:
        """Return the written answer to a question, or "".

        Args:
            question: Its id, such as ``"a1.w1"``.
        """
        title = re.compile(rf"\bAnswer\s+{re.escape(question)}\b", re.I)
        other = re.compile(r"\bAnswer\s+a\d+\.w\d+\b|^#{1,3}\s", re.I)
        parts: list[str] = []
        inside = False
        for cell in self.cells:
            if cell.kind != "markdown":
                inside = False
                continue
            ours = {question, question.replace(".", "-")} & set(cell.marks)
            headings = _headings(cell.source)
            if ours or any(map(title.search, headings)):
                inside = True
            elif cell.source.lstrip().startswith("#") and other.search(
                headings[0]
            ):
                inside = False
            if inside:
                parts.append(cell.source)
        return "\n\n".join(parts)


def _headings(source: str) -> list[str]:
    """Return the headings of a cell, cut: no pattern takes long on them."""
    lines = (line.lstrip() for line in source.splitlines())
    return [line[:200] for line in lines if line.startswith("#")]


def read(data: bytes) -> Notebook:
    """Read a notebook.

    Raises:
        Refused: If it holds no cells.
    """
    if len(data) > BYTES:
        raise Refused(f"the file is larger than {BYTES // 10**6} MB")
    if not data.strip(b"\0 \t\r\n"):
        raise Refused("the file is empty")
    text = _text(data)
    if _holds_more(text, VALUES):
        raise Refused(
            f"the file holds more than {VALUES} lists and values: clear the "
            "outputs of the notebook"
        )
    try:
        content = json.loads(text)
    except RecursionError:
        raise Refused("the file is not a notebook: nested too deeply") from None
    except (ValueError, MemoryError) as error:
        raise Refused(
            f"the file is not a notebook: no JSON ({str(error)[:80]})"
        ) from None
    if not isinstance(content, dict):
        raise Refused("the file is not a notebook: JSON without cells")
    cells = [c for c in map(_cell, _raw_cells(content)) if c is not None]
    if not cells:
        raise Refused("the notebook has no cells")
    if len(cells) > CELLS or sum(len(c.source) for c in cells) > SOURCE:
        raise Refused(
            f"the notebook has more than {CELLS} cells or {SOURCE} characters"
        )
    said = _dgm(content).get("assignment")
    return Notebook(cells, said if isinstance(said, str) else "")


def _holds_more(text: str, most: int) -> bool:
    """Say whether a JSON text has more values; text in strings is none."""
    if sum(map(text.count, ",[{")) <= most:
        return False
    marks = (m for m in _MARKS.finditer(text) if text[m.start()] != '"')
    return next(islice(marks, most, None), None) is not None


def _text(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def _raw_cells(content: dict[str, Any]) -> list[Any]:
    cells = content.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = content.get("worksheets")  # format 3
    found: list[Any] = []
    for sheet in sheets if isinstance(sheets, list) else []:
        inner = sheet.get("cells") if isinstance(sheet, dict) else None
        found += inner if isinstance(inner, list) else []
    return found


def _cell(raw: Any) -> Cell | None:
    if not isinstance(raw, dict):
        return None
    kind = raw.get("cell_type")
    if kind not in ("code", "markdown", "heading"):
        return None
    source = raw.get("source", raw.get("input"))  # format 3 says input
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        return None
    # half surrogates and line ends of all systems
    source = source.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    marks = (raw.get("id"), _dgm(raw).get("id"))
    return Cell(
        "code" if kind == "code" else "markdown",
        source.replace("\r", "\n"),
        tuple(mark for mark in marks if isinstance(mark, str)),
    )


def _dgm(raw: dict[str, Any]) -> dict[str, Any]:
    """Return ``metadata.dgm``: a dictionary, or an id for short."""
    metadata = raw.get("metadata")
    found = metadata.get("dgm") if isinstance(metadata, dict) else None
    if isinstance(found, str):
        return {"id": found}
    return found if isinstance(found, dict) else {}
