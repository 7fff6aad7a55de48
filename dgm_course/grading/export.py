"""Write the file to hand in: find the notebook, strip it, say what lacks.

A kernel does not know which file it belongs to. Colab answers when asked;
VS Code and Jupyter leave a name; elsewhere the notebook is the file in this
folder that holds the cells that ran. Failing all, the cells that ran are the
hand-in, without the written answers, and the student is told so.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EMPTY = "*Write your answer here.*"
SUFFIX = "_submission.ipynb"


def export(
    assignment: str,
    parts: Sequence[Any],
    names: Mapping[str, Any],
    notebook: str | Path | None = None,
) -> Path | None:
    """Write ``a1_submission.ipynb`` into the kernel's folder.

    Args:
        assignment: ``"a1"``.
        parts: Its questions, from ``public``.
        names: The name space of the notebook.
        notebook: The notebook's file; None searches.

    Returns:
        The file that was written; None where there is nothing to hand in.

    Raises:
        ValueError: If ``notebook`` is no notebook.
        OSError: If a file cannot be read or written.
    """
    ran = _history(names)
    origin, found = _find(names, ran, notebook)
    if not found["cells"]:
        print(
            "No notebook was found here, and no cell ran: nothing was written."
        )
        return None
    cells = [_clean(cell) for cell in found["cells"]]
    submission = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"dgm": {"assignment": assignment}},
        "cells": [{**cell, "id": f"c{i}"} for i, cell in enumerate(cells)],
    }
    lacks = _missing(parts, cells, names, ran)
    lacking = {line.split(":")[0].strip() for line in lacks}
    if lacking == {part.id for part in parts}:
        print(f"Nothing of {assignment} is answered yet: nothing was written.")
        return None
    path = Path(assignment + SUFFIX).resolve()
    path.write_text(json.dumps(submission, indent=1), encoding="utf-8")
    print(f"Wrote {path}\nfrom {origin}.")
    print("\n".join(lacks) if lacks else "Nothing is missing from it.")
    print("Hand in this file. What counts is what it holds, not what ran here.")
    _download(path)
    return path


def _find(
    names: Mapping[str, Any], ran: list[str], given: str | Path | None
) -> tuple[str, dict[str, Any]]:
    """Return where the notebook was found, and its content."""
    if given is not None:
        return str(given), _read(Path(given))
    found = _ask_colab()
    if found is not None:
        return "the notebook in this browser tab", found
    best: tuple[int, int, float] | None = None
    chosen: tuple[str, dict[str, Any]] | None = None
    for rank, path in _candidates(names):
        try:
            content = _read(path)
            modified = path.stat().st_mtime
        except (OSError, ValueError):
            continue
        sources = {_text(cell) for cell in content["cells"]}
        known = sum(source.strip() in sources for source in set(ran))
        if known and (best is None or (known, rank, modified) > best):
            best, chosen = (known, rank, modified), (str(path), content)
    if chosen is not None:
        return chosen
    cells = [{"cell_type": "code", "source": source} for source in ran]
    return (
        "the cells that ran here, since the notebook's own file was not "
        "found.\nWritten answers are NOT in it. To hand them in, save the "
        'notebook and run\ncheck.export(notebook="its name.ipynb")',
        {"cells": cells},
    )


def _candidates(names: Mapping[str, Any]) -> list[tuple[int, Path]]:
    """Return files that may be this notebook; a higher rank is likelier."""
    hints = [
        names.get("__vsc_ipynb_file__"),
        os.environ.get("JPY_SESSION_NAME"),
    ]
    found = []
    for hint in hints:
        if isinstance(hint, str) and hint:
            name = hint.removeprefix("RTC:")  # real-time collaboration
            found += [(1, Path(name)), (1, Path(Path(name).name))]
    here = sorted(Path.cwd().glob("*.ipynb"))
    found += [(0, path) for path in here if not path.name.endswith(SUFFIX)]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            cell["cell_type"], cell["source"]
    except (UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is no notebook ({type(error).__name__}: {error}); give "
            "the .ipynb file that you work in, saved"
        ) from error
    return content


def _ask_colab() -> dict[str, Any] | None:
    """Return the notebook of the browser tab, unsaved edits included."""
    try:
        from google.colab import _message

        answer = _message.blocking_request("get_ipynb", timeout_sec=30)
        return answer["ipynb"]
    except Exception:  # not on Colab, or it did not answer
        return None


def _download(path: Path) -> None:
    """On Colab the file is on another machine: send it to the browser."""
    try:
        from google.colab import files

        files.download(str(path))
    except Exception:
        return


def _history(names: Mapping[str, Any]) -> list[str]:
    """Return the cells that ran, as they were typed, oldest first."""
    shell = names.get("get_ipython")
    try:
        cells = shell().history_manager.input_hist_raw  # type: ignore[misc]
    except Exception:  # plain Python, or the sandbox of the grader
        cells = names.get("In", [])
    return [str(cell).strip() for cell in cells if str(cell).strip()]


def _clean(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what the grader reads: no output, no count, no widget."""
    kind = cell["cell_type"]
    kept = {"cell_type": kind, "metadata": {}, "source": _text(cell)}
    if kind == "code":
        kept |= {"outputs": [], "execution_count": None}
    elif "attachments" in cell:
        kept["attachments"] = cell["attachments"]  # a photograph of a proof
    return kept


def _text(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return (source if isinstance(source, str) else "".join(source)).strip()


def _missing(
    parts: Sequence[Any],
    cells: list[dict[str, Any]],
    names: Mapping[str, Any],
    ran: list[str],
) -> list[str]:
    """Return one line for each thing that the file lacks."""
    code = [c["source"] for c in cells if c["cell_type"] == "code"]
    stored, current = _definitions(code), _definitions(ran)
    lines = []
    for part in parts:
        if not part.functions:
            if not _answer(cells, part.id):
                lines.append(f"  {part.id}: no written answer")
            continue
        for name in part.functions:
            if name not in stored:
                lines.append(f"  {part.id}: {name} is not defined in it")
            elif _is_blank(stored[name]):
                lines.append(f"  {part.id}: {name} is not answered yet")
            here, there = current.get(name), stored.get(name)
            if here and (not there or ast.dump(here) != ast.dump(there)):
                lines.append(
                    f"  {part.id}: {name} here is not what the file holds: "
                    "SAVE the notebook, then export again"
                )
    return lines


def _definitions(sources: Sequence[str]) -> dict[str, ast.FunctionDef]:
    """Map the names of functions to their last definitions."""
    found = {}
    for source in sources:
        lines = [
            "" if re.match(r"\s*[%!]", line) else line
            for line in source.splitlines()
        ]
        try:
            tree = ast.parse("\n".join(lines))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
    return found


def _is_blank(function: ast.FunctionDef) -> bool:
    """Tell whether the dots of the student's version are still there."""
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and node.value.value is Ellipsis
        for node in function.body
    )


def _answer(cells: list[dict[str, Any]], question: str) -> str:
    """Return the words below the heading "Answer a1.w1"."""
    found, inside = [], False
    for cell in cells:
        text = cell["source"]
        if cell["cell_type"] != "markdown":
            inside = False
            continue
        heading = re.search(
            rf"^#+ *Answer {re.escape(question)}\b.*$", text, re.M
        )
        if heading:
            inside, text = True, text[heading.end() :]
        elif re.match(r"#{1,3}\s", text):
            inside = False  # as the grader reads it
        if inside:
            found.append(text.replace(EMPTY, "").strip())
            found += ["(a picture)"] * bool(cell.get("attachments"))
    return "\n\n".join(found).strip()
