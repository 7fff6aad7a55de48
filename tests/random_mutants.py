"""Break the library at random, and see who notices.

    python tests/random_mutants.py --number 100          (make mutants N=100)
    python tests/random_mutants.py --number 100 --library     (make test-all)

Each mutant changes one token of the code that the chapters show, or of the
whole library: a sign, an operator, a constant (axes among them), a comparison,
or the order of two arguments. It is applied to a copy of the project. Then the
library's own tests are run, and the check cells of the chapters that show the
code; with ``--library`` these are asked only about what the tests let through.
What both let through is listed, to be killed or explained.

Each result is printed and written to a journal at once. The next run with the
same journal asks only those who had not noticed a mutant: so it goes on where
an interrupted one stopped, and shows what sharper checks now notice. At last
the tests that noticed a mutant are run without one, all at once: one that fails
has noticed nothing.

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
import re
import resource
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar

# each run is a fork, and need not import anew what is not ours
import hypothesis  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import nbformat
import nbval.plugin  # noqa: F401
import parso
import pytest
import scipy.stats  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch  # noqa: F401
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
KILLED = "a run without end"
CHECKS = ["tests/book/test_mutants.py", "-k"]
CONFINING = (
    "broker cgroups inside policy process sandbox seccomp selftest usage"
)
# Tests attack the grader, as root on a machine that tests as root.
LEFT_OUT = {
    **{name: "confines attacks" for name in CONFINING.split()},
    "public": "tests themselves",
}


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


@dataclass(frozen=True)
class Place:
    """One token that one operator can change.

    Attributes:
        path: File, relative to the project.
        line: Where it is.
        operator: What changes it.
        index: Which of the operator's places in the file.
        chapters: Notebooks that show this line.
    """

    path: str
    line: int
    operator: Operator
    index: int
    chapters: frozenset[str]


@dataclass
class Mutant:
    """One changed token.

    Attributes:
        path: File, relative to the project.
        code: The whole file with the change.
        line: Where it is.
        change: The line before and after.
        chapters: Notebooks that show this line.
        caught: Who noticed, "tests" or "checks", and the test that failed.
    """

    path: str
    code: str
    line: int
    change: tuple[str, str]
    chapters: set[str]
    caught: dict[str, str] = field(default_factory=dict)

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
    shown: dict[str, dict[int, set[str]]],
) -> dict[str, dict[int, set[str]]]:
    """Return all lines of the library, with the chapters that show them.

    Not of the rooms and files of ``grading`` that are left out.
    """
    out = tuple(f"dgm_course/grading/{name}" for name in LEFT_OUT)
    found: dict[str, dict[int, set[str]]] = {}
    for path in sorted(ROOT.glob("dgm_course/**/*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(out):
            count = len(path.read_text().splitlines())
            known = shown.get(name, {})
            found[name] = {n: known.get(n, set()) for n in range(1, count + 1)}
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


def all_places(lines: dict[str, dict[int, set[str]]]) -> list[Place]:
    """Return every place of the given lines, one per operator and token."""
    operators = [get_operator(f"core/{name}")() for name in OPERATORS]
    found = []
    for path, wanted in lines.items():
        source = (ROOT / path).read_text()
        skipped, nodes = quiet_lines(source), [*ast_nodes(get_ast(source))]
        for operator in [*operators, SwapArguments()]:
            places = [
                position
                for node in nodes
                for position in operator.mutation_positions(node)
            ]
            found += [
                Place(path, line, operator, k, frozenset(wanted[line]))
                for k, ((line, _), _) in enumerate(places)
                if line in wanted and line not in skipped
            ]
    return found


def drawn(places: list[Place], number: int, seed: int) -> Iterator[Mutant]:
    """Draw places, and yield the mutants of those that make a program.

    What is drawn in a file does not depend on the others: most of a journal
    holds when one has changed.
    """

    def at_random(place: Place) -> str:
        name = type(place.operator).__name__
        text = f"{seed} {place.path} {name} {place.index}"
        return hashlib.sha256(text.encode()).hexdigest()

    for place in sorted(places, key=at_random):
        if number == 0:
            return
        source = (ROOT / place.path).read_text()
        code = mutate_code(source, place.operator, place.index)
        if code is None or not compiles(code):
            continue
        change = first_difference(source, code)
        if change[0] != change[1]:
            shown = set(place.chapters)
            yield Mutant(place.path, code, place.line, change, shown)
            number -= 1


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
    checks = [*CHECKS, f"stands and ({numbers})"]
    return {
        "tests": tests_of(mutant.path, copy),
        "checks": checks if mutant.chapters else [],
    }


@cache
def tests_of(path: str, copy: Path) -> list[str]:
    """Return the tests of a file, those that name it most first.

    Those of its room, and those of other rooms that import what it defines;
    for a file or a room without tests of its own, those that name it or a file
    beside it that imports it, and its doctests.
    """
    room, defined = (
        Path(path).parts[1].removesuffix(".py"),
        names_of(copy / path),
    )
    every = {file: file.read_text() for file in copy.glob("tests/**/test_*.py")}
    tests = {*copy.glob(f"tests/{room}/*.py"), copy / f"tests/test_{room}.py"}
    tests &= every.keys()
    words = []
    if not tests or not (copy / "dgm_course" / room).is_dir():
        names = [room] + [
            user.stem
            for user in copy.glob("dgm_course/*.py")
            if f"from .{room} import" in user.read_text()
        ]
        named = re.compile(rf"\b({'|'.join(names)})\b")
        at_top = every.keys() & {*copy.glob("tests/*.py")}
        tests |= {test for test in at_top if named.search(every[test])}
        words = [path]
    other = {"grading": "assignments", "commands": Path(path).stem}
    if room in other:
        tests |= every.keys() & {*copy.glob(f"tests/{other[room]}/*.py")}
    naming = re.compile(rf"\b({'|'.join([Path(path).stem, *defined])})\b")
    tests |= {t for t in every if imported(every[t], room) & defined}
    order = {t: -len(naming.findall(every[t])) for t in sorted(tests)}
    found = sorted(order, key=lambda test: order[test])
    return [test.relative_to(copy).as_posix() for test in found] + words


def names_of(path: Path) -> set[str]:
    """Return the names of the classes and functions of a file."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    nodes = ast.parse(path.read_text()).body
    return {node.name for node in nodes if isinstance(node, kinds)}


@cache
def imported(source: str, room: str) -> set[str]:
    """Return the names that a test imports from a room."""
    return {
        name.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        and f"{node.module}.".startswith(f"dgm_course.{room}.")
        for name in node.names
    }


def other_recipes(path: str) -> set[str]:
    """Return what the recipes are called that do not come from a file.

    Empty for a file that is none of recipes.
    """
    here = ROOT / path
    if not here.parent.match("zoo/recipes"):
        return set()
    user = re.compile(rf"^from \.( import )?{here.stem}\b", re.MULTILINE)
    modules = [
        import_module(f"dgm_course.zoo.recipes.{file.stem}")
        for file in here.parent.glob("[a-z]*.py")
        if file != here and not user.search(file.read_text())
    ]
    return {recipe.name for module in modules for recipe in module.RECIPES}


def to_ask(mutant: Mutant, copy: Path, enough: int) -> dict[str, list[str]]:
    """Return the runs of those who have not noticed it, until enough have."""
    if len(mutant.caught) >= enough:
        return {}
    asked = runs(mutant, copy).items()
    return {k: words for k, words in asked if words and k not in mutant.caught}


def ask(mutant: Mutant, copy: Path, seconds: int, enough: int) -> None:
    """Ask those who have not noticed it, with the mutant in the copy."""
    target = copy / mutant.path
    right = target.read_text()
    # chosen while the copy is right: the names that a file defines choose
    asked = to_ask(mutant, copy, enough)
    others = in_child(partial(other_recipes, mutant.path)) or set()
    target.write_text(mutant.code)
    try:
        for name, words in asked.items():
            if len(mutant.caught) < enough:
                code, failed = run(words, copy, seconds, others)
                if code == pytest.ExitCode.NO_TESTS_COLLECTED:
                    sys.exit(f"no test of {mutant.path} to ask: {words}")
                if code != 0:  # killed, too: a run without end
                    mutant.caught[name] = (failed or [KILLED])[0]
    finally:
        target.write_text(right)


def forget_broken(mutants: list[Mutant], copy: Path, seconds: int) -> None:
    """Run the tests that noticed mutants without one; some may fail always."""
    tests = {test for m in mutants for test in m.caught.values()} - {KILLED}
    code, failed = run([*sorted(tests), "--maxfail=0"], copy, seconds)
    if tests and code not in (0, 1):
        sys.exit(f"without a mutant pytest ended with {code}")
    for test in failed:
        print(f"fails without a mutant: {test}")
    for mutant in mutants:
        for who, test in list(mutant.caught.items()):
            if test in failed:
                del mutant.caught[who]


def run(
    words: list[str], copy: Path, seconds: int, others: Set[str] = frozenset()
) -> tuple[int | None, list[str]]:
    """Run pytest, without the tests of some recipes of the zoo.

    Return its exit code and what failed; the code is None if it was killed,
    such as by its limit of time.
    """
    work = partial(run_tests, words, copy, seconds, others)
    return in_child(work) or (None, [])


class Failures:
    """A plugin of pytest that remembers what failed.

    Args:
        others: Recipes of the zoo that concern nobody.
    """

    def __init__(self, others: Set[str]) -> None:
        self.others, self.names = others, list[str]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is asked of the other recipes."""
        items[:] = [
            item
            for item in items
            if not hasattr(item, "callspec")
            or item.callspec.params.get("name") not in self.others
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test."""
        if report.failed:
            self.names.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a file."""
        if report.failed:
            self.names.append(report.nodeid)


def run_tests(
    words: list[str], copy: Path, seconds: int, others: Set[str]
) -> tuple[int, list[str]]:
    """Run pytest in the copy, and return its exit code and what failed."""
    # seconds of CPU, so that a busy machine notices nothing by itself
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with open(os.devnull, "w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "DGM_STATIC": "1"}
    # a bug must not be hidden by the compiled code of the file before it
    sys.dont_write_bytecode = True
    options = ["-m", "not slow and not browser", "-p", "no:cacheprovider"]
    options += ["--doctest-modules", "-x", "-q"]
    failures = Failures(others)
    code = pytest.main([*options, *words], [failures])
    return int(code), failures.names


def in_child(work: Callable[[], T]) -> T | None:
    """Do something in a child, which has no file of the library at hand.

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


class Journal:
    """Results of this run and of those before it; without a file, of none.

    Attributes:
        known: Who noticed a mutant, by its key, and how.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, dict[str, str]] = {}
        if path and path.exists():
            lines = path.read_text().splitlines()
            self.known = dict(json.loads(line) for line in lines)

    def write(self, mutant: Mutant) -> None:
        """Add a result, at once."""
        if self.path:
            with self.path.open("a") as file:
                print(json.dumps([mutant.key, mutant.caught]), file=file)


def report(mutants: list[Mutant], enough: int) -> None:
    """Print how many were noticed by whom, and what nobody noticed."""
    shown = [mutant for mutant in mutants if mutant.chapters]
    missed = [mutant for mutant in shown if "tests" not in mutant.caught]
    asked = missed if enough == 1 else shown
    for who, of in (("tests", mutants), ("checks", asked)):
        count = sum(who in mutant.caught for mutant in of)
        print(f"noticed by the {who:<6} {count:>4} of {len(of)}")
    if enough > 1:
        print("\nlet through by the check cells alone:")
        print_those(shown, ["tests"])
    print("\nnoticed by nobody:")
    print_those(mutants, [])


def print_those(mutants: list[Mutant], caught: list[str]) -> None:
    """Print the mutants that exactly these noticed."""
    for mutant in mutants:
        if list(mutant.caught) == caught:
            print(line_of(mutant))


def line_of(mutant: Mutant) -> str:
    """Return what a reader of the log wants to know about one mutant."""
    old, new = mutant.change
    names = ", ".join(sorted(mutant.chapters)) or "no chapter"
    who = " and ".join(mutant.caught) or "NOBODY"
    how = "".join(f"    {test}\n" for test in mutant.caught.values())
    return (
        f"{mutant.path}:{mutant.line} ({names}): {who}\n{how}"
        f"    - {old}\n    + {new}"
    )


def main() -> int:
    """Sample mutants, try each, and report; 1 if nobody noticed some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=int, default=600, help="of CPU, for one run"
    )
    parser.add_argument("--journal", type=Path, help="file of results")
    parser.add_argument("--chapter", help="two digits, such as 04")
    parser.add_argument(
        "--library", action="store_true", help="also what no chapter shows"
    )
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT)]

    def draw() -> tuple[list[Mutant], int, int]:
        lines = shown_lines()
        if options.library:
            lines = library_lines(lines)
        start = options.chapter or ""
        places = [
            place
            for place in all_places(lines)
            if options.library
            or any(name.startswith(start) for name in place.chapters)
        ]
        mutants = list(drawn(places, options.number, options.seed))
        return mutants, len(places), len({place.path for place in places})

    mutants, count, files = in_child(draw) or ([], 0, 0)
    if not mutants:
        sys.exit(f"no chapter {options.chapter!r} shows code of the library")
    print(
        f"{len(mutants)} mutants, seed {options.seed}, of {count} places in "
        f"{files} files\nleft out: docstrings, annotations, texts of errors"
    )
    if options.library:
        for name, why in LEFT_OUT.items():
            print(f"left out: dgm_course/grading/{name}: {why}")
    enough = 1 if options.library else 2
    journal = Journal(options.journal)
    for mutant in mutants:
        mutant.caught |= journal.known.get(mutant.key, {})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        skip = shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__")
        shutil.copytree(ROOT, copy, ignore=skip)
        waiting = [m for m in mutants if to_ask(m, copy, enough)]
        waiting.sort(key=lambda m: m.key in journal.known)  # the new ones first
        for mutant in tqdm(waiting):
            ask(mutant, copy, options.seconds, enough)
            tqdm.write(line_of(mutant))
            journal.write(mutant)
        forget_broken(mutants, copy, options.seconds)
    report(mutants, enough)
    return int(any(not mutant.caught for mutant in mutants))


if __name__ == "__main__":
    sys.exit(main())
