"""From the instructors' sources to the students' notebooks."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

BLOCK = re.compile(
    r"^(?P<indent>[ ]*)### BEGIN SOLUTION\n.*?^[ ]*### END SOLUTION[ ]*$",
    re.M | re.S,
)
INSTRUCTOR = Path("assignments/instructor")


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


def _notebook_tools(root: Path) -> ModuleType:
    """Load the script that keeps the book's notebooks."""
    path = root / "book/_ext/notebooks.py"
    spec = importlib.util.spec_from_file_location("book_notebooks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
