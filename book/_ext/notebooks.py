"""Keep the notebooks as they are committed.

    python book/_ext/notebooks.py run book/*.ipynb   re-run, strip, refresh
    python book/_ext/notebooks.py new 12_my_chapter  scaffold a chapter
    python book/_ext/notebooks.py text book/X.ipynb  show it as text
    python book/_ext/notebooks.py write book/X.ipynb FILE   make it of a text

``run`` executes each notebook in the profile ``smoke``, keeps the outputs of
the check cells (tag ``keep_output``), strips all others, and derives Colab
badge and setup cell from the repository's URL in ``_config.yml``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
WORDS = {  # what a block of text may be called, and the tags of its cell
    "check": ["nbval-check-output", "keep_output"],
    "fold": ["hide-input"],
    "solution": ["hide-cell"],
}
BADGE = re.compile(
    r"^(\[!\[Open In Colab\]\(.*\)|\[Read it as a page\]\(.*\))$", re.M
)
# it reads the other notebooks: Colab would open it alone
ALONE = "checks.ipynb"


def config() -> dict[str, Any]:
    """Return the book's configuration."""
    return yaml.safe_load((ROOT / "_config.yml").read_text())


def repository() -> tuple[str, str]:
    """Return URL and branch of the public repository."""
    found = config()["repository"]
    return found["url"], found["branch"]


def badge(name: str, folder: str = "book") -> str:
    """Return Colab badge and link to the page, as one line of Markdown."""
    url, branch = repository()
    page = f"{config()['html']['baseurl']}/{folder}/{name[:-6]}.html"
    read = f"[Read it as a page]({page})"
    if name == ALONE:
        return read
    path = url.removeprefix("https://github.com/")
    colab = "https://colab.research.google.com"
    return (
        f"[![Open In Colab]({colab}/assets/colab-badge.svg)]"
        f"({colab}/github/{path}/blob/{branch}/{folder}/{name}) {read}"
    )


def setup_cell() -> str:
    """Return the first code cell: the same in all notebooks."""
    url, branch = repository()
    return (
        "# Setup. On Colab this adds the course package and changes no other.\n"
        "import importlib.util\n\n"
        'if importlib.util.find_spec("dgm_course") is None:\n'
        f'    course = "git+{url}@{branch}"\n'
        "    %pip install --quiet --no-deps $course constriction\n"
        "    importlib.invalidate_caches()\n"
        '    importlib.import_module("dgm_course")  # fails if pip did'
    )


def refresh(
    notebook: nbformat.NotebookNode, name: str, folder: str = "book"
) -> None:
    """Write badge and setup cell anew."""
    cells = notebook.cells
    cells[0].source = BADGE.sub(badge(name, folder), cells[0].source)
    next(c for c in cells if c.cell_type == "code").source = setup_cell()


def strip(notebook: nbformat.NotebookNode) -> None:
    """Drop what changes from run to run; keep ids and kept outputs."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code" and "keep_output" not in tags:
            cell.outputs, cell.execution_count = [], None
    kernel = {"display_name": "Python 3", "language": "python"}
    kernel["name"] = "python3"
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(metadata)


def from_text(text: str) -> nbformat.NotebookNode:
    """Make a notebook of blocks that start with ``%% md`` or ``%% code WORDS``.

    ``WORDS`` are tags, or one of the words of ``WORDS`` above.
    """
    notebook = nbformat.v4.new_notebook()
    for block in f"\n{text}".split("\n%% ")[1:]:
        head, source = block.split("\n", 1)
        kind, *words = head.split()
        make = nbformat.v4.new_markdown_cell
        if kind == "code":
            make = nbformat.v4.new_code_cell
        cell = make(source.strip())
        cell.id = f"cell-{len(notebook.cells):02d}"
        expanded = [tag for word in words for tag in WORDS.get(word, [word])]
        if expanded:
            cell.metadata["tags"] = expanded
        if "solution" in words:  # Colab and JupyterLab fold it too
            cell.metadata["cellView"] = "form"
            cell.metadata["jupyter"] = {"source_hidden": True}
        notebook.cells.append(cell)
    return notebook


def to_text(notebook: nbformat.NotebookNode) -> str:
    """Undo :func:`from_text`."""
    blocks = []
    for cell in notebook.cells:
        head = ["%% md" if cell.cell_type == "markdown" else "%% code"]
        tags = list(cell.metadata.get("tags", []))
        for word, meaning in WORDS.items():
            if set(meaning) <= set(tags):
                head.append(word)
                tags = [tag for tag in tags if tag not in meaning]
        blocks.append(f"{' '.join(head + tags)}\n{cell.source}\n")
    return "\n".join(blocks)


def run(path: Path) -> None:
    """Execute a notebook in the profile ``smoke`` and store it."""
    notebook = nbformat.read(path, as_version=4)
    refresh(notebook, path.name)
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=600, resources=folder, coalesce_streams=True
    )
    client.execute()
    strip(notebook)
    nbformat.write(notebook, path)


def new(name: str) -> Path:
    """Write a chapter that passes the structure tests, and list it."""
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        sys.exit(
            f"NAME={name!r} is no chapter name; use two digits and words, "
            "such as NAME=12_score_matching"
        )
    path = ROOT / "book" / f"{name}.ipynb"
    if taken := sorted(path.parent.glob(f"{name[:2]}_*.ipynb")):
        sys.exit(f"{taken[0]} exists; choose another number than {name[:2]}")
    number, title = int(name[:2]), name[3:].replace("_", " ").capitalize()
    text = (ROOT / "book/_ext/chapter.md").read_text(encoding="utf-8")
    text = text.replace("{N}", str(number)).replace("{TITLE}", title)
    notebook = from_text(text)
    strip(notebook)
    refresh(notebook, path.name)
    nbformat.write(notebook, path)
    run(path)
    insert(ROOT / "_toc.yml", r"- file: book/", f"      - file: book/{name}")
    role = f"{{doc}}`{name}`"
    intro = path.with_name("intro.md")
    insert(intro, r"^\| \D.*\{doc\}`", f"| TODO slides | {role} |")
    # the first week reads chapter 0
    week = f"| {number + 1} | {role} | TODO |"
    insert(intro, r"^\| \d+ \|.*\{doc\}`", week)
    return path


def insert(path: Path, before: str, line: str) -> None:
    """Add a line about a chapter after those of the chapters before it."""
    number = re.search(r"(\d\d)_", line)[1]
    lines = path.read_text(encoding="utf-8").splitlines()
    listed = [re.search(rf"{before}(\d\d)_", text) for text in lines]
    last = max(i for i, m in enumerate(listed) if m and m[1] < number)
    lines.insert(last + 1, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["run", "new", "text", "write"])
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    os.environ["DGM_PROFILE"] = "smoke"
    os.environ["DGM_STATIC"] = "1"
    if args.command == "write":
        if len(args.names) != 2:
            parser.error("write takes two names: a notebook and its text")
        path = Path(args.names[0])
        text = Path(args.names[1]).read_text(encoding="utf-8")
        notebook = from_text(text)
        strip(notebook)
        nbformat.write(notebook, path)
        args.command, args.names = "run", [path]
    for name in args.names:
        if args.command == "new":
            print(f"wrote {new(name)}, listed in _toc.yml and intro.md")
        elif args.command == "text":
            print(to_text(nbformat.read(name, as_version=4)))
        else:
            run(Path(name))
            print(f"ran {name}")


if __name__ == "__main__":
    main()
