"""Break the library at random, and see who notices.

    python tests/random_mutants.py --number 100          (make mutants N=100)

Each mutant changes one token of the code that the chapters show: a sign, an
operator, a constant (axes among them), a comparison, or the order of two
arguments. It is applied to a copy of the project. Then the check cells of the
chapters that show the code are run, and the library's own tests. What both
let through is listed, to be killed or explained.

The mutations are those of the library cosmic-ray; the swap of arguments is
ours.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import inspect
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ["Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Mul_Add", "Pow_Mul"]
ORDERS = ["Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "Eq_NotEq"]
OPERATORS = [
    *(f"ReplaceBinaryOperator_{pair}" for pair in PAIRS),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ORDERS),
    "ReplaceUnaryOperator_Delete_USub",
    "NumberReplacer",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
]


class SwapArguments(Operator):
    """Exchange the first two positional arguments of a call."""

    def mutation_positions(self, node):
        """Yield the argument lists that begin with two plain arguments."""
        if node.type == "arglist" and len(node.children) >= 3:
            first, _, second, *_ = node.children
            plain = all(a.type != "argument" for a in (first, second))
            if plain and first.get_code().strip() != second.get_code().strip():
                yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        """Exchange them."""
        first, comma, second, *rest = node.children
        node.children = [second, comma, first, *rest]
        return node

    @classmethod
    def examples(cls):
        """What cosmic-ray's own tests would ask for; there are none here."""
        return ()


@dataclass
class Mutant:
    """One changed token.

    Attributes:
        path: File, relative to the project.
        code: The whole file with the change.
        line: Where it is.
        change: The line before and after.
        chapters: Notebooks that show this line.
        caught: Who noticed: "checks", "tests".
    """

    path: str
    code: str
    line: int
    change: tuple[str, str]
    chapters: set[str]
    caught: list[str] = field(default_factory=list)


def shown_lines() -> dict[str, dict[int, set[str]]]:
    """Return, file by file, the lines that chapters show, and which do."""
    found: dict[str, dict[int, set[str]]] = defaultdict(
        lambda: defaultdict(set)
    )
    for notebook in sorted(ROOT.glob("book/[0-9]*.ipynb")):
        for thing in shown_objects(notebook):
            lines, first = inspect.getsourcelines(thing)
            path = Path(inspect.getsourcefile(thing) or "").resolve()
            if not path.is_relative_to(ROOT / "dgm_course"):
                continue
            for line in range(first, first + len(lines)):
                name = path.relative_to(ROOT).as_posix()
                found[name][line].add(notebook.stem)
    return found


def shown_objects(notebook: Path) -> Iterator[object]:
    """Yield what the calls of ``show_source`` in a notebook name."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code"][1:]
    imports, names = {}, {}
    exec(code[0], imports)
    names.update(imports)
    for source in code:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and "show_source" in ast.unparse(
                node.func
            ):
                for argument in node.args:
                    with contextlib.suppress(NameError):
                        yield eval(ast.unparse(argument), names)


def quiet_lines(source: str) -> set[int]:
    """Return the lines of docstrings, errors' texts and annotations."""
    quiet: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts = [node]
        elif isinstance(node, ast.Raise):
            parts = [node]
        elif isinstance(node, ast.arg):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns]
        for part in parts:
            if part is not None:
                last = part.end_lineno or part.lineno
                quiet |= set(range(part.lineno, last + 1))
    return quiet


def all_mutants(lines: dict[str, dict[int, set[str]]]) -> list[Mutant]:
    """Return every mutant of the given lines, one per operator and place."""
    operators = [get_operator(f"core/{name}")() for name in OPERATORS]
    mutants = []
    for path, wanted in lines.items():
        source = (ROOT / path).read_text()
        skipped = quiet_lines(source)
        for operator in [*operators, SwapArguments()]:
            places = [
                position
                for node in ast_nodes(get_ast(source))
                for position in operator.mutation_positions(node)
            ]
            for k, ((line, _), _) in enumerate(places):
                if line not in wanted or line in skipped:
                    continue
                code = mutate_code(source, operator, k)
                if code is None or not compiles(code):
                    continue
                change = first_difference(source, code)
                if change[0] != change[1]:
                    mutants.append(
                        Mutant(path, code, line, change, wanted[line])
                    )
    return mutants


def compiles(code: str) -> bool:
    """Return whether the mutant is a program at all."""
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return not parso.load_grammar().iter_errors(parso.parse(code))


def first_difference(before: str, after: str) -> tuple[str, str]:
    """Return the line that differs, before and after."""
    for old, new in zip(before.splitlines(), after.splitlines()):
        if old != new:
            return old.strip(), new.strip()
    return "", ""


def try_out(mutant: Mutant, copy: Path, seconds: int) -> None:
    """Run the check cells and the tests on a copy with the mutant in it."""
    target = copy / mutant.path
    right = target.read_text()
    target.write_text(mutant.code)
    numbers = " or ".join(f"chapter_{name[:2]}" for name in mutant.chapters)
    room = Path(mutant.path).parts[1].removesuffix(".py")
    tests = [p for p in (f"tests/{room}", f"tests/test_{room}.py")]
    runs = {
        "checks": [
            "tests/book/test_mutants.py",
            *("-k", f"stands and ({numbers})"),
        ],
        "tests": [name for name in tests if (copy / name).exists()],
    }
    try:
        for name, words in runs.items():
            if words and fails(words, copy, seconds):
                mutant.caught.append(name)
    finally:
        target.write_text(right)


def fails(words: list[str], copy: Path, seconds: int) -> bool:
    """Return whether pytest fails; a run without end fails too."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", *words]
    command += ["-m", "not slow and not browser", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(copy), "DGM_STATIC": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1, 2):  # 5: no test was chosen
        sys.exit(f"pytest could not run:\n{done.stdout}{done.stderr}")
    return done.returncode != 0


def report(mutants: list[Mutant]) -> None:
    """Print how many were noticed by whom, and what nobody noticed."""
    for who in ("checks", "tests"):
        count = sum(who in mutant.caught for mutant in mutants)
        print(f"noticed by the {who:<6} {count:>4} of {len(mutants)}")
    for title, wanted in (
        ("let through by the check cells alone", ["tests"]),
        ("noticed by nobody", []),
    ):
        print(f"\n{title}:")
        for mutant in mutants:
            if mutant.caught == wanted:
                old, new = mutant.change
                names = ", ".join(sorted(mutant.chapters))
                print(f"  {mutant.path}:{mutant.line} ({names})")
                print(f"    - {old}\n    + {new}")


def main() -> int:
    """Sample mutants, try each, and report; 1 if nobody noticed some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=300, help="a run")
    parser.add_argument("--chapter", help="two digits, such as 04")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    importlib.invalidate_caches()
    mutants = all_mutants(shown_lines())
    if options.chapter:
        mutants = [
            m
            for m in mutants
            if any(name.startswith(options.chapter) for name in m.chapters)
        ]
    if not mutants:
        sys.exit(f"no chapter {options.chapter!r} shows code of the library")
    chosen = random.Random(options.seed).sample(
        mutants, min(options.number, len(mutants))
    )
    print(f"{len(chosen)} of {len(mutants)} mutants, seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        skip = shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=skip)
        for mutant in tqdm(chosen):
            try_out(mutant, copy, options.seconds)
    report(chosen)
    return int(any(not mutant.caught for mutant in chosen))


if __name__ == "__main__":
    sys.exit(main())
