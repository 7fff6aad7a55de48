"""Break the library on purpose: the chapters' own check cells must notice.

Only the cells that a check cell needs are run, so that most mutants take
less than a second.
"""

import ast
import dis
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType

import nbformat
import pytest
from mutants import Mutant

from dgm_course.verify import CheckFailed, collect_rows

BOOK = Path(__file__).parents[2] / "book"
MODULES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("mutants/*.py")
    if path.stem != "__init__"
)


def notebook_of(module):
    """Return the notebook whose checks a module of mutants challenges."""
    name = module.removeprefix("chapter_")
    (path,) = BOOK.glob(f"{name}*.ipynb")
    return path


@cache
def code_of(path):
    """Return the code cells after the setup cell, and the check cells."""
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"][1:]
    checks = [
        i
        for i, cell in enumerate(code)
        if "keep_output" in cell.metadata.get("tags", [])
    ]
    return [cell.source for cell in code], checks


def names(source):
    """Return the names that a cell binds, changes in place, and needs."""
    code, tree = compile(source, "cell", "exec"), ast.parse(source)
    bound, needed, inside = set(), set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            bound.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in bound:
            needed.add(step.argval)
        elif isinstance(step.argval, CodeType):
            inside |= globals_in(step.argval)
    changed = set().union(*(names_in(node) for node in changes(tree)))
    return bound, changed, needed | (inside - bound)


def globals_in(code):
    """Return the global names that a function reads, those inside it too."""
    found = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname == "LOAD_GLOBAL"
    }
    nested = [c for c in code.co_consts if isinstance(c, CodeType)]
    return found.union(*map(globals_in, nested))


def changes(tree):
    """Return what a cell may change in place: ``fit(model, ...)`` its model,
    ``model.double()`` the model, ``x[0] = 1`` and ``a.b = 1`` the object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and names_in(node.func) == {"fit"}:
            yield node.args[0]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if not names_in(node.value.func) & {"print", "plots", "explore"}:
                yield node.value
        elif isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node.ctx, ast.Store):
                yield node.value


def names_in(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def needed_for(code, checks, target):
    """Return the cells that a check cell needs, the imports among them."""
    chosen, wanted = [target], names(code[target])[2]
    imported = names(code[0])[0]  # torch.manual_seed(0) does not change torch
    for i in range(target - 1, -1, -1):
        bound, changed, needed = names(code[i])
        touched = bound if i in checks else bound | changed - imported
        if i == 0 or touched & wanted:
            chosen.append(i)
            wanted = (wanted - bound) | needed
    return chosen[::-1]


def failures(path, targets, line=None):
    """Run check cells, each with what it needs; return the rows that fail.

    ``line`` is a piece of code in these cells and what takes its place.
    """
    code, checks = code_of(path)
    failed, replaced = [], line is None
    for target in targets:
        namespace = {}
        for i in needed_for(code, checks, target):
            source = code[i]
            if line and line[0] in source:
                source, replaced = source.replace(*line), True
            if i not in checks:
                exec(source, namespace)
                continue
            for statement in ast.parse(source).body:
                try:
                    module = ast.Module([statement], [])
                    exec(compile(module, path.name, "exec"), namespace)
                except CheckFailed as error:
                    if i == target:
                        failed.append(str(error))
    assert replaced, f"{path.name} has no {line[0]!r} where these rows need it"
    return failed


def target_of(path, row):
    """Return the check cell that prints a row, "theorem: claim"."""
    found = [
        i
        for i, rows in zip(code_of(path)[1], rows_by_cell(path), strict=True)
        if row in rows
    ]
    assert found, f"no check cell of {path.name} prints the row {row!r}"
    return found[0]


@cache
def rows_by_cell(path):
    """Return the rows "theorem: claim" that each check cell has printed."""
    notebook = nbformat.read(path, as_version=4)
    checks = [
        c for c in notebook.cells if "keep_output" in c.metadata.get("tags", [])
    ]
    result = []
    for cell in checks:
        text = "".join(output.get("text", "") for output in cell.outputs)
        rows = [line.split(" | ") for line in text.splitlines()]
        result.append({f"{r[0].strip()}: {r[1].strip()}" for r in rows})
    return result


def mutants_of(module):
    """Return the mutants of a notebook by name."""
    named = vars(import_module(f"mutants.{module}"))
    return {k: m for k, m in named.items() if isinstance(m, Mutant)}


CASES = [
    pytest.param(module, mutant, id=f"{module}-{name}")
    for module in MODULES
    for name, mutant in mutants_of(module).items()
]
CELLS = [
    pytest.param(module, k, id=f"{module}-{k}")
    for module in MODULES
    for k in range(len(code_of(notebook_of(module))[1]))
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Run as the tests run notebooks: a few steps, no progress bars."""
    monkeypatch.setenv("DGM_STATIC", "1")
    monkeypatch.setenv("DGM_PROFILE", "smoke")


@pytest.mark.parametrize(("module", "mutant"), CASES)
def test_mutant_breaks_the_rows_it_names(module, mutant, monkeypatch, capsys):
    path = notebook_of(module)
    targets = sorted({target_of(path, row) for row in mutant.rows})
    mutant.apply(monkeypatch)
    failed = failures(path, targets, mutant.line)
    for row in mutant.rows:
        assert any(f.startswith(f"{row}: ") for f in failed), (row, failed)


@pytest.mark.parametrize(("module", "k"), CELLS)
def test_check_cell_stands_on_its_own(module, k, capsys):
    """Its rows are true with what it needs alone, and a mutant breaks one."""
    path = notebook_of(module)
    assert failures(path, [code_of(path)[1][k]]) == []
    named = {r for mutant in mutants_of(module).values() for r in mutant.rows}
    rows = rows_by_cell(path)[k]
    assert rows & named, f"no mutant breaks any of {sorted(rows)}"


def test_each_notebook_with_checks_has_its_mutants():
    checked = {path for path in BOOK.glob("*.ipynb") if collect_rows(path)}
    broken = {notebook_of(module) for module in MODULES}
    missing = sorted(path.name for path in checked - broken)
    assert not missing, f"nothing in tests/book/mutants breaks {missing}"
    assert broken == checked
