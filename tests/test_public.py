"""Each public name of the library is used, and says its shapes and source."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dgm_course"
MODULES = re.findall(
    r"automodule:: (\S+)", (ROOT / "book/api.md").read_text(encoding="utf-8")
)
# files of models and of mathematics: each has a paper or a chapter behind it
PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
ROOMS = PACKAGES - {"commands", "data", "grading", "zoo"}
ROOMS |= {"dequantization", "quadrature", "verify"}
SOURCE = re.compile(r"\b(19|20)\d\d\b|[Cc]hapters? \d")
# (B,), (B, D), (..., T) or "of any shape", "of the same shape"
SHAPE = re.compile(r"\(([\w*+/ ]+|\.\.\.),[^()]*\)|\bshapes?\b|\b0-d\b")


class Name(NamedTuple):
    """A function, a class or a method, and what its code mentions."""

    module: str
    owner: str
    name: str
    mentions: set[str]


def mentioned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.split(".")[-1]


def notebook(path):
    """Parse the code of a notebook, without the lines of IPython alone."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    return ast.parse(re.sub(r"(?m)^(\s*)%", r"\1pass  # %", code))


def names(path, tree) -> Iterator[Name]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for thing in tree.body:
        if isinstance(thing, ast.FunctionDef):
            yield Name(module, "", thing.name, set(mentioned(thing)))
        elif isinstance(thing, ast.ClassDef):
            own = set()
            for part in [*thing.body, *thing.bases, *thing.decorator_list]:
                private = getattr(part, "name", "_").startswith("_")
                if isinstance(part, ast.FunctionDef) and not private:
                    owner, text = thing.name, set(mentioned(part))
                    yield Name(module, owner, part.name, text)
                else:
                    own |= set(mentioned(part))
            yield Name(module, "", thing.name, own)


def left_over(library, used: set[str]) -> list[Name]:
    """Follow what is used from the roots on; return what is never met.

    A name counts as used where its word stands: two methods of one name are
    not told apart.
    """
    rest = [n for path, tree in library for n in names(path, tree)]
    for _, tree in library:
        for line in tree.body:  # of a module, but imports and __all__
            public = isinstance(line, ast.Assign) and "__all__" in mentioned(
                line
            )
            definition = ast.FunctionDef | ast.ClassDef
            imports = ast.Import | ast.ImportFrom
            if not public and not isinstance(line, definition | imports):
                used |= set(mentioned(line))
    while True:
        # "_" is an implementation that functools.singledispatch knows
        new = [n for n in rest if n.name in used or n.name == "_"]
        if not new:
            return rest
        used |= {word for name in new for word in name.mentions}
        rest = [name for name in rest if name not in new]


def of_torch(name: Name) -> bool:
    """Whether a method is called by a base class that is not ours."""
    owner = getattr(importlib.import_module(name.module), name.owner, object)
    return any(
        hasattr(base, name.name)
        for base in owner.__mro__
        if not base.__module__.startswith("dgm_course")
    )


def test_each_public_name_is_used():
    """By a notebook, an assignment or the command line, or by what is."""
    notebooks = [*ROOT.glob("book/*.ipynb"), *ROOT.glob("assignments/*.ipynb")]
    instructor = ROOT / "assignments/instructor"
    notebooks += instructor.glob("*/*.ipynb")
    scripts = [*instructor.glob("*/*.py"), *PACKAGE.glob("commands/*.py")]
    scripts += [PACKAGE / "cli.py", ROOT / "book/_ext/notebooks.py"]
    roots = list(map(notebook, notebooks))
    roots += [ast.parse(path.read_text(encoding="utf-8")) for path in scripts]
    files = sorted(PACKAGE.rglob("*.py"))
    library = [(f, ast.parse(f.read_text(encoding="utf-8"))) for f in files]
    used = {word for tree in roots for word in mentioned(tree)}
    for name in left_over(library, used):
        dunder = name.name.startswith("__")
        assert dunder or of_torch(name), (
            f"{name.module}: {name.owner} {name.name} is used by no notebook, "
            "assignment or command; use it or delete it"
        )


def test_what_nobody_uses_is_found():
    text = "def f(): return g()\ndef g(): pass\nclass C:\n  def h(self): g()\n"
    library = [(PACKAGE / "x.py", ast.parse(text))]
    assert [n.name for n in left_over(library, {"f"})] == ["h", "C"]
    assert [n.name for n in left_over(library, {"C", "f"})] == ["h"]


def tensors(function) -> bool:
    annotations = getattr(function, "__annotations__", {})
    return "Tensor" in " ".join(map(str, annotations.values()))


def contract(thing, member) -> str:
    """What a method says of itself, and those that it overrides, of theirs."""
    told = []
    for kind in thing.__mro__:
        if member in vars(kind) and kind.__module__.startswith("dgm_course"):
            told += [kind.__doc__ or "", vars(kind)[member].__doc__ or ""]
    return "\n".join(told)


def annotated(module):
    """Yield what the page shows and takes or returns tensors, with its text.

    A method may leave the shapes to its class, or to what it overrides.
    """
    for name, thing in vars(importlib.import_module(module)).items():
        if getattr(thing, "__module__", None) != module or name[0] == "_":
            continue
        text = inspect.getdoc(thing) or ""
        if inspect.isfunction(thing) and tensors(thing):
            yield name, text
        members = vars(thing) if inspect.isclass(thing) else {}
        for member, method in members.items():
            public = inspect.isfunction(method) and member[0] != "_"
            if public and tensors(method):
                yield f"{name}.{member}", contract(thing, member)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_name_shapes(module):
    for name, text in annotated(module):
        assert SHAPE.search(text), f"{module}.{name}: name the shapes"


def in_rooms():
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in ROOMS and path.name != "__init__.py":
            yield pytest.param(path, id=f"{room}-{path.stem}")


@pytest.mark.parametrize("path", [*in_rooms()])
def test_files_name_their_source(path):
    """A paper with its year, or the chapter that derives what stands there."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = [
        ast.get_docstring(node) or ""
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]
    assert SOURCE.search("\n".join(said)), (
        f"{path.name}: name the paper with its year, or the chapter"
    )
