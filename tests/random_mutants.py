"""Break the library at random, and see who notices.

    python tests/random_mutants.py --number 100          (make mutants N=100)
    python tests/random_mutants.py --number 100 --library     (make test-all)

Each mutant changes one token of the code that the chapters show, or of the
whole library: a sign, an operator, a constant (axes among them), a comparison,
or the order of two arguments. It is applied to a copy of the project. Then the
check cells of the chapters that show the code are run, and the library's own
tests. What both let through is listed, to be killed or explained.

Each result is printed and written to a journal at once. The next run with the
same journal asks only those who had not noticed a mutant: so it goes on where
an interrupted one stopped, and shows what sharper checks now notice.

The mutations are those of the library cosmic-ray; the swap of arguments is
ours.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import inspect
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import nbformat
import parso
import pytest
import torch  # noqa: F401, each run is a fork and need not import it anew
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from tqdm import tqdm

T = TypeVar("T")
FORK = multiprocessing.get_context("fork")
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

    @property
    def key(self) -> str:
        """What names it in the journal, while its file is the same."""
        text = f"{self.path}\n{self.code}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


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


def library_lines(
    shown: dict[str, dict[int, set[str]]], number: int, seed: int
) -> dict[str, dict[int, set[str]]]:
    """Draw lines of the library, with the chapters that show them, if any.

    Not of the grader: attacks and hostile notebooks are the mutants there.
    """
    places = [
        (path.relative_to(ROOT).as_posix(), line)
        for path in sorted(ROOT.glob("dgm_course/**/*.py"))
        if "grading" not in path.as_posix()
        for line, text in enumerate(path.read_text().splitlines(), 1)
        if text.strip()
    ]
    found: dict[str, dict[int, set[str]]] = defaultdict(dict)
    chosen = random.Random(seed).sample(places, min(number, len(places)))
    for path, line in chosen:
        found[path][line] = shown.get(path, {}).get(line, set())
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
        skipped, nodes = quiet_lines(source), [*ast_nodes(get_ast(source))]
        for operator in [*operators, SwapArguments()]:
            places = [
                position
                for node in nodes
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


def runs(mutant: Mutant, copy: Path) -> dict[str, list[str]]:
    """Return who is asked about a mutant, and pytest's words for it."""
    numbers = " or ".join(
        f"chapter_{name[:2]}" for name in sorted(mutant.chapters)
    )
    checks = ["tests/book/test_mutants.py", "-k", f"stands and ({numbers})"]
    return {
        "checks": checks if mutant.chapters else [],
        "tests": tests_of(mutant.path, copy),
    }


def tests_of(path: str, copy: Path) -> list[str]:
    """Return the tests of a file: its own first, since the first may fail.

    Those of its room; for a file that is a room of its own, those that name
    it or a file beside it that imports it, and its doctests.
    """
    room = Path(path).parts[1].removesuffix(".py")
    own = f"tests/{room}/test_{Path(path).stem}.py"
    tests = [own, f"tests/{room}", f"tests/test_{room}.py"]
    found = [name for name in tests if (copy / name).exists()]
    if (copy / "dgm_course" / room).is_dir():
        return found
    names = [room] + [
        user.stem
        for user in copy.glob("dgm_course/*.py")
        if f"from .{room} import" in user.read_text()
    ]
    found += [
        f"tests/{test.name}"
        for test in sorted(copy.glob("tests/test_*.py"))
        if re.search(rf"\b({'|'.join(names)})\b", test.read_text())
    ]
    return [*dict.fromkeys(found), path, "--doctest-modules"]


def try_out(mutant: Mutant, copy: Path, seconds: int) -> None:
    """Ask those who have not noticed it, with the mutant in the copy."""
    target = copy / mutant.path
    right = target.read_text()
    target.write_text(mutant.code)
    try:
        for name, words in runs(mutant, copy).items():
            if words and name not in mutant.caught:
                if fails(words, copy, seconds):
                    mutant.caught.append(name)
    finally:
        target.write_text(right)


def fails(words: list[str], copy: Path, seconds: int) -> bool:
    """Return whether pytest fails; a run without end fails too."""
    with tempfile.TemporaryFile("w+") as log:
        code = in_child(partial(run_tests, words, copy, seconds, log.fileno()))
        if code is not None and code not in (0, 1, 2):  # 5: none was chosen
            log.seek(0)
            sys.exit(f"pytest could not run:\n{log.read()}")
    return code != 0


def run_tests(words: list[str], copy: Path, seconds: int, log: int) -> int:
    """Run pytest in the copy, and return its exit code."""
    # seconds of CPU, so that a busy machine notices nothing by itself
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "DGM_STATIC": "1"}
    # a bug must not be hidden by the compiled code of the file before it
    sys.dont_write_bytecode = True
    options = ["-m", "not slow and not browser", "-p", "no:cacheprovider"]
    return int(pytest.main(["-x", "-q", *words, *options]))


def in_child(work: Callable[[], T]) -> T | None:
    """Do something in a child, which has torch at hand but not the library.

    None if it was killed, such as by its limit of time.
    """
    receive, send = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: send.send(work()))
    child.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        return None
    finally:
        child.join()


def stop_if_broken(mutants: list[Mutant], copy: Path, seconds: int) -> None:
    """Stop if a run fails without a mutant: it would notice all of them."""
    words = {tuple(w) for m in mutants for w in runs(m, copy).values() if w}
    for chosen in tqdm(sorted(words), desc="without a mutant"):
        if fails(list(chosen), copy, seconds):
            sys.exit(f"fails without a mutant: pytest {' '.join(chosen)}")


def report(mutants: list[Mutant]) -> None:
    """Print how many were noticed by whom, and what nobody noticed."""
    shown = [mutant for mutant in mutants if mutant.chapters]
    for who, asked in (("checks", shown), ("tests", mutants)):
        count = sum(who in mutant.caught for mutant in asked)
        print(f"noticed by the {who:<6} {count:>4} of {len(asked)}")
    for title, wanted in (
        ("let through by the check cells alone", ["tests"]),
        ("noticed by nobody", []),
    ):
        print(f"\n{title}:")
        for mutant in mutants if not wanted else shown:
            if mutant.caught == wanted:
                print(line_of(mutant))


def line_of(mutant: Mutant) -> str:
    """Return what a reader of the log wants to know about one mutant."""
    old, new = mutant.change
    names = ", ".join(sorted(mutant.chapters)) or "no chapter"
    who = " and ".join(mutant.caught) or "NOBODY"
    return (
        f"{mutant.path}:{mutant.line} ({names}): {who}\n"
        f"    - {old}\n    + {new}"
    )


def main() -> int:
    """Sample mutants, try each, and report; 1 if nobody noticed some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=int, default=300, help="of CPU, for one run"
    )
    parser.add_argument("--journal", type=Path, help="file of results")
    parser.add_argument("--chapter", help="two digits, such as 04")
    parser.add_argument(
        "--library", action="store_true", help="also what no chapter shows"
    )
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT)]

    def every() -> list[Mutant]:
        lines = shown_lines()
        if options.library:  # more lines than hold so many mutants
            lines = library_lines(lines, 20 * options.number, options.seed)
        return all_mutants(lines)

    mutants = in_child(every) or []
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
    known = {}
    if options.journal and options.journal.exists():
        lines = options.journal.read_text().splitlines()
        known = dict(json.loads(line) for line in lines)
    for mutant in chosen:
        mutant.caught += known.get(mutant.key, [])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        skip = shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=skip)
        waiting = [m for m in chosen if len(m.caught) < 2]
        stop_if_broken(waiting, copy, options.seconds)
        for mutant in tqdm(waiting):
            try_out(mutant, copy, options.seconds)
            tqdm.write(line_of(mutant))
            if options.journal:
                with options.journal.open("a") as journal:
                    print(json.dumps([mutant.key, mutant.caught]), file=journal)
    report(chosen)
    return int(any(not mutant.caught for mutant in chosen))


if __name__ == "__main__":
    sys.exit(main())
