"""``dgm grade`` and ``dgm assignment``: for instructors."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the commands to a parser."""
    _add_grade(commands)
    _add_assignment(commands)


def _add_grade(commands: Any) -> None:
    grade = commands.add_parser("grade", help="grade submissions")
    grade.add_argument("assignment", metavar="NAME", help="such as a1")
    grade.add_argument(
        "submissions",
        nargs="+",
        metavar="SUBMISSION",
        help="notebooks, or folders and zips as Moodle or Canvas export them",
    )
    grade.add_argument("--out", required=True, metavar="DIR")
    grade.add_argument("--roster", metavar="FILE", help="class list, CSV")
    grade.add_argument("--policy", metavar="FILE", help="late policy, TOML")
    grade.add_argument(
        "--workers", type=int, help="sandboxes at a time; default: one a core"
    )
    grade.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="tcp://...: grade on the workers of dask",
    )
    grade.add_argument(
        "--assignments", metavar="DIR", help="folder of other assignments"
    )
    grade.add_argument(
        "--unsafe",
        action="store_true",
        help="no sandbox: only for code that you would run yourself",
    )
    grade.set_defaults(run=_grade)


def _grade(options: argparse.Namespace) -> int:
    from ..grading.commands import grade

    return grade(options)


def _add_assignment(commands: Any) -> None:
    assignment = commands.add_parser(
        "assignment", help="what students get, from the instructors' sources"
    )
    verbs = assignment.add_subparsers(metavar="VERB", required=True)
    build = verbs.add_parser("build", help="write the students' notebooks")
    build.add_argument("names", nargs="*", metavar="NAME", help="such as a1")
    build.set_defaults(run=_assignment_build)
    release = verbs.add_parser(
        "release", help="write the public tree, without solutions"
    )
    release.add_argument("folder", metavar="DIR", help="new, or empty")
    release.set_defaults(run=_assignment_release)


def _assignment_build(options: argparse.Namespace) -> int:
    from ..grading import build

    root = build.repository()
    for path in build.build(root, options.names):
        print(f"wrote {path.relative_to(root)}")
    return 0


def _assignment_release(options: argparse.Namespace) -> int:
    from pathlib import Path

    from ..grading import build, release

    out = Path(options.folder)
    count = release.release(build.repository(), out)
    print(
        f"wrote {count} files to {out}, without {build.INSTRUCTOR}; no line "
        "of a solution or of a hidden test is in them"
    )
    return 0
