"""Finds what only instructors may see in what students would get."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .build import BLOCK, sources, student_source

SHORT = 30  # characters; shorter lines are in any program


def secrets(root: Path) -> set[str]:
    """Return the lines that only instructors may see, without their layout."""
    lines: list[str] = []
    for folder in sources(root).values():
        cells = json.loads((folder / "source.ipynb").read_text())["cells"]
        shown = set()
        for cell in cells:
            source = "".join(cell["source"])
            shown |= set(_lines(student_source(source)))
            for match in BLOCK.finditer(source):
                lines += _lines(match[0])
        for path in folder.rglob("*"):
            if path.suffix in (".py", ".md"):
                lines += _lines(path.read_text(encoding="utf-8"))
        # a wrong solution in a string begins as the student's function does
        lines = [
            line
            for line in lines
            if line.strip("'\"").removesuffix("\\n") not in shown
        ]
    return {
        line
        for line in lines
        if len(line) >= SHORT and not line.startswith(("import ", "from "))
    }


def leaks(secret: set[str], folder: Path) -> list[tuple[Path, str]]:
    """Return the files that hold a secret line, and the line."""
    return [
        (path.relative_to(folder), line)
        for path in sorted(p for p in folder.rglob("*") if p.is_file())
        for line in leaks_in(secret, path.name, path.read_bytes())
    ]


def leaks_in(secret: set[str], name: str, content: bytes) -> list[str]:
    """Return the secret lines that a file holds.

    Notebooks are searched string by string, metadata and outputs included;
    archives are opened.
    """
    texts = [" ".join(text.split()) for text in _texts(name, content)]
    return sorted(
        line for line in secret if any(line in text for text in texts)
    )


def _texts(name: str, content: bytes) -> Iterator[str]:
    """Yield all that can be read in a file."""
    if name.endswith((".ipynb", ".json")):
        try:
            yield "\n".join(_strings(json.loads(content)))
        except ValueError:
            pass
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from _texts(member, archive.read(member))
    yield content.decode("utf-8", errors="replace")
    yield content.decode("utf-16", errors="replace")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            yield "".join(value)  # a source, line by line
        for item in value:
            yield from _strings(item)


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]
