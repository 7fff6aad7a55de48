"""The command ``dgm``.

Each command has one function that adds its options and names what runs.
Libraries are imported where they are used: ``dgm --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from . import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    Args:
        argv: The words after ``dgm``; None means those of this process.

    Returns:
        0, or 1 after an error that has been printed, or 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="dgm", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_data,
        _add_train,
        _add_evaluate,
        _add_results,
        _add_info,
        _add_grade,
        _add_assignment,
    ):
        add(commands)
    options = parser.parse_args(argv)
    try:
        return options.run(options)
    except (ArithmeticError, ImportError, OSError, ValueError) as error:
        print(f"dgm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dgm: stopped", file=sys.stderr)
        return 130


_DESCRIPTION = "Tools of the course on likelihood-based generative models."


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="download and list data sets")
    verbs = data.add_subparsers(metavar="VERB", required=True)
    get = verbs.add_parser("get", help="download data sets, once")
    get.add_argument(
        "names", nargs="+", metavar="NAME", help="a name of `list`, or `all`"
    )
    get.set_defaults(run=_data_get)
    listing = verbs.add_parser("list", help="what is at hand, and where")
    listing.set_defaults(run=_data_list)


def _data_get(options: argparse.Namespace) -> int:
    from .data import download, sources, store

    everything = "all" in options.names
    names = list(sources.SOURCES) if everything else options.names
    found = {name: sources.source_of(name) for name in names}  # all, or none
    failed = False
    for name, source in found.items():
        try:
            path = store.path_of(name)
            if path.exists() and _is_whole(path, source.keys):
                print(f"{name}: at hand, {path}")
            else:
                print(f"{name}: written, {download(name)}")
        except OSError as error:  # go on with the others
            print(f"dgm: {error}", file=sys.stderr)
            failed = True
    return int(failed)


def _is_whole(path: Any, keys: Sequence[str]) -> bool:
    from .data import store

    try:
        store.read(path, keys)
    except ValueError as error:
        print(f"{error}\nreplacing it", file=sys.stderr)
        return False
    return True


def _data_list(options: argparse.Namespace) -> int:
    from .data import sources, store

    print(f"folder of the full data sets: {store.folder()}")
    for name, source in sources.SOURCES.items():
        path = store.path_of(name)
        full = f"not at hand: `dgm data get {name}`"
        if path.exists():
            full = f"{path.name}, {path.stat().st_size / 1e6:.0f} MB"
        bundled = source.bundled or "nothing"
        print(f"{name:<14} bundled: {bundled:<26} in full: {full}")
    print(f"{'magic':<14} bundled: 19,020 rows, all of it")
    return 0


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train models of the zoo")
    train.add_argument("names", nargs="*", metavar="NAME")
    train.add_argument("--chapter", type=int, help="all models of a chapter")
    train.add_argument(
        "--all",
        action="store_true",
        help="every model, in slices of --minutes; what is finished is kept",
    )
    train.add_argument(
        "--profile", choices=["smoke", "read", "full"], help="how much"
    )
    train.add_argument("--minutes", type=float, help="budget for each model")
    train.add_argument(
        "--resume", action="store_true", help="go on where a run stopped"
    )
    train.add_argument("--device", help="cpu, cuda, ...; default: the best")
    train.add_argument("--seed", type=int, help="default: the recipe's")
    train.add_argument(
        "--out", default="runs", metavar="DIR", help="default: %(default)s"
    )
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    import os
    from pathlib import Path

    from . import zoo

    if options.profile:
        os.environ["DGM_PROFILE"] = options.profile
    if options.all:
        return _train_all(options)
    # under torchrun one process speaks for all
    say = print if os.environ.get("RANK", "0") == "0" else _say_nothing
    for recipe in _chosen(options):
        say(f"{recipe.name}: {recipe.summary}")
        card = zoo.train(
            recipe,
            Path(options.out),
            minutes=options.minutes,
            resume=options.resume,
            device=options.device,
            seed=options.seed,
        )
        say(_describe(card))
        if card.stopped == "interrupted":
            return 130
    return 0


def _say_nothing(text: str) -> None:
    pass


def _train_all(options: argparse.Namespace) -> int:
    from pathlib import Path

    from . import zoo

    if options.names or options.chapter is not None or options.seed is not None:
        raise ValueError(
            "--all trains every model with the seeds of its recipe; give "
            "--minutes, --profile, --device and --out only"
        )
    if options.minutes is None:
        raise ValueError("--all works in slices; give --minutes of one slice")
    failed, folder = False, Path(options.out)
    for recipe, found in zoo.train_all(folder, options.minutes, options.device):
        print(f"{recipe.name}: {recipe.summary}")
        if isinstance(found, Exception):
            print(f"dgm: {found}", file=sys.stderr)
            failed = True
            continue
        print(_describe(found))
        if found.stopped == "interrupted":
            return 130
    return int(failed)


def _chosen(options: argparse.Namespace) -> list[Any]:
    """All recipes that were named are known, or none; each of them once."""
    from . import zoo

    names = list(options.names)
    if options.chapter is not None:
        names += zoo.names(options.chapter)
    if not names:
        raise ValueError(
            "no model is named: give a NAME, or --chapter N with one of "
            f"{sorted({r.chapter for r in zoo.all_recipes().values()})}"
        )
    return [zoo.recipe(name) for name in dict.fromkeys(names)]


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="write the metrics of trained models anew"
    )
    evaluate.add_argument("names", nargs="*", metavar="NAME")
    evaluate.add_argument("--chapter", type=int, help="all models of a chapter")
    evaluate.add_argument("--out", metavar="DIR", help="another zoo")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from . import zoo

    folder, failed = _folder(options.out), False
    for recipe in _chosen(options):
        try:
            before = zoo.card(recipe.name, *folder).metrics
            after = zoo.evaluate(recipe.name, *folder).metrics
        except FileNotFoundError as error:  # go on with the others
            print(f"dgm: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"{recipe.name}: {recipe.summary}")
        for name in dict.fromkeys([*before, *after]):
            old, new = (metrics.get(name, "-") for metrics in (before, after))
            print(f"  {name:<28} {old!s:<28} -> {new}")
    return int(failed)


def _add_results(commands: Any) -> None:
    results = commands.add_parser("results", help="what the zoo scores")
    results.add_argument("--chapter", type=int, help="of one chapter alone")
    results.add_argument("--out", metavar="DIR", help="another zoo")
    results.set_defaults(run=_results)


def _results(options: argparse.Namespace) -> int:
    from . import zoo

    print(f"{'model':<24} {'chapter':>7}  {'metric':<26} value")
    for name, card in zoo.results(*_folder(options.out)):
        chapter = zoo.recipe(name).chapter
        if options.chapter not in (None, chapter):
            continue
        for metric, value in card.metrics.items():
            print(f"{name:<24} {chapter:>7}  {metric:<26} {value}")
    return 0


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="the card of a model")
    info.add_argument("name")
    info.add_argument("--out", metavar="DIR", help="another zoo")
    info.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from . import zoo

    recipe = zoo.recipe(options.name)
    card = zoo.card(options.name, *_folder(options.out))
    print(f"{recipe.name}: {recipe.summary} (chapter {recipe.chapter})")
    print(_describe(card))
    return 0


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
    from .grading import release

    root = release.repository()
    for path in release.build(root, options.names):
        print(f"wrote {path.relative_to(root)}")
    return 0


def _assignment_release(options: argparse.Namespace) -> int:
    from pathlib import Path

    from .grading import release

    out = Path(options.folder)
    count = release.release(release.repository(), out)
    print(
        f"wrote {count} files to {out}, without {release.INSTRUCTOR}; no line "
        "of a solution or of a hidden test is in them"
    )
    return 0


def _folder(name: str | None) -> list[Any]:
    from pathlib import Path

    return [] if name is None else [Path(name)]


def _describe(card: Any) -> str:
    lines = [
        f"  data        {card.data}",
        f"  trained     {card.steps:,} steps, {card.seconds:.0f} s on "
        f"{card.device}, {card.stopped} (profile {card.profile})",
        f"  parameters  {card.parameters:,}, seed {card.seed}, "
        f"torch {card.torch}",
    ]
    for name, metric in card.metrics.items():
        line = f"  {name:<22} {metric}"
        if seeds := card.over_seeds.get(name):
            spread = f"{card.spread(name):.3f} over {len(seeds)} seeds"
            line += f", standard deviation {spread}"
        lines.append(line)
    return "\n".join(lines)


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
    from .grading.commands import grade

    return grade(options)


if __name__ == "__main__":
    sys.exit(main())
