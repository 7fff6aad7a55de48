"""From the instructors' sources to what students get.

``build`` writes the student's notebooks; ``release`` writes the public tree,
and refuses where a line of a solution or of a hidden test would be in it.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

BLOCK = re.compile(
    r"^(?P<indent>[ ]*)### BEGIN SOLUTION\n.*?^[ ]*### END SOLUTION[ ]*$",
    re.M | re.S,
)
INSTRUCTOR = Path("assignments/instructor")
SHORT = 30  # characters; shorter lines are in any program


class Leak(ValueError):
    """Text that only instructors may see is in what students would get."""


def repository() -> Path:
    """Return the folder of the course, of which this package is a part.

    Raises:
        ValueError: If this is an installed package, or the public tree.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / INSTRUCTOR).is_dir():
        raise ValueError(
            f"{root} holds no {INSTRUCTOR}: this command is for instructors, "
            "in their repository with `pip install -e .`"
        )
    return root


def sources(root: Path) -> dict[str, Path]:
    """Map ``"a1"`` to the folder of its source, in order.

    Raises:
        ValueError: If a folder lacks one of its three files.
    """
    found = {}
    for folder in sorted((root / INSTRUCTOR).glob("a[0-9]*_*")):
        for name in ("source.ipynb", "hidden.py", "rubric.md"):
            if not (folder / name).is_file():
                raise ValueError(f"{folder} has no {name}")
        found[folder.name.partition("_")[0]] = folder
    return found


def student_source(source: str) -> str:
    """Take the solution out of a cell.

    Raises:
        ValueError: If a solution begins and does not end, or the reverse.
    """

    def blank(match: re.Match[str]) -> str:
        if match["indent"]:
            return f"{match['indent']}...  # your code here"
        return "# helpers of yours, if you like"

    text = BLOCK.sub(blank, source)
    if re.search(r"###\s*(BEGIN|END)\s*SOLUTION", text, re.I):
        raise ValueError(
            "a solution needs both lines, ### BEGIN SOLUTION and "
            f"### END SOLUTION, with the same spelling:\n{source}"
        )
    return text


def build(root: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write the student's notebooks ``assignments/aN_....ipynb``.

    Args:
        root: The repository.
        names: Such as ``["a1"]``; none means all.

    Raises:
        ValueError: If there is no such assignment.
    """
    import nbformat

    found = sources(root)
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: no such assignment; there are "
            f"{', '.join(found)}"
        )
    tools = _notebook_tools(root)
    written = []
    for name in names or found:
        folder = found[name]
        path = root / "assignments" / f"{folder.name}.ipynb"
        notebook = nbformat.read(folder / "source.ipynb", as_version=4)
        for cell in notebook.cells:
            cell.source = student_source(cell.source)
            cell.metadata = nbformat.from_dict({})
            cell.pop("attachments", None)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        tools.strip(notebook)
        tools.refresh(notebook, path.name, "assignments")
        nbformat.write(notebook, path)
        written.append(path)
    return written


def release(root: Path, out: Path) -> int:
    """Write the public tree: what git tracks, without the instructors' part.

    Args:
        root: The repository, whose commit is written, not what lies around.
        out: A folder that does not exist, or is empty.

    Returns:
        The number of files.

    Raises:
        ValueError: If ``out`` holds something, a student's notebook is not
            the one that its source makes, or the work is not committed.
        Leak: If a file would tell a solution or a hidden test; nothing is
            left in ``out``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; give a new folder")
    tracked = ("status", "--porcelain", "--untracked-files=no")
    changed = _git(root, *tracked).decode().splitlines()
    if changed:
        raise ValueError(
            f"commit first: the tree is made of the last commit, and "
            f"{len(changed)} files differ from it, such as {changed[0][3:]}"
        )
    for path in build(root):
        if _git(root, *tracked, "--", str(path)):
            raise ValueError(
                f"{path.name} was not what its source makes; it is now: look "
                "at it and commit it"
            )
    out.mkdir(parents=True, exist_ok=True)
    try:
        archive = tarfile.open(
            fileobj=io.BytesIO(_git(root, "archive", "HEAD"))
        )
        members = [
            member
            for member in archive.getmembers()
            if not Path(member.name).is_relative_to(INSTRUCTOR)
        ]
        archive.extractall(out, members, filter="data")
        found = leaks(secrets(root), out)
        if found:
            raise Leak(
                "nothing was written, since students would have seen:\n"
                + "\n".join(f"  {path}: {line}" for path, line in found[:20])
            )
    except BaseException:
        shutil.rmtree(out)
        raise
    return sum(member.isfile() for member in members)


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


def _git(root: Path, *words: str) -> bytes:
    try:
        result = subprocess.run(
            ["git", *words], cwd=root, check=True, capture_output=True
        )
    except FileNotFoundError as error:
        raise ValueError(
            "the public tree is made with git: install it"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"git {' '.join(words)}: {error.stderr.decode().strip()}"
        ) from error
    return result.stdout


def _notebook_tools(root: Path) -> ModuleType:
    """Load the script that keeps the book's notebooks."""
    path = root / "book/_ext/notebooks.py"
    spec = importlib.util.spec_from_file_location("book_notebooks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
