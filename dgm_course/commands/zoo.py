"""``dgm train``, ``evaluate``, ``sample``, ``results``, ``info``: the zoo."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Add the commands to a parser."""
    adders = _add_train, _add_evaluate, _add_sample, _add_results, _add_info
    for one in adders:
        one(commands)


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train models of the zoo")
    train.add_argument(
        "names", nargs="*", metavar="NAME", help="a model, or the group table1"
    )
    train.add_argument("--chapter", type=int, help="all models of a chapter")
    train.add_argument(
        "--all",
        action="store_true",
        help="every model, in slices of --minutes, as for a group; what is "
        "finished is kept",
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

    from .. import zoo

    if options.profile:
        os.environ["DGM_PROFILE"] = options.profile
    if options.all or set(options.names) & set(zoo.GROUPS):
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

    from .. import zoo

    what = "--all" if options.all else options.names[0]
    more = options.names if options.all else options.names[1:]
    if more or options.chapter is not None or options.seed is not None:
        raise ValueError(
            f"{what} trains its models with the seeds of their recipes; give "
            "--minutes, --profile, --device and --out only"
        )
    if options.minutes is None:
        raise ValueError(f"{what} works in slices; give --minutes of one slice")
    among = None if options.all else zoo.group(what)
    failed, folder = False, Path(options.out)
    for recipe, found in zoo.train_all(
        folder, options.minutes, options.device, among
    ):
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
    from .. import zoo

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
    from .. import zoo

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


def _add_sample(commands: Any) -> None:
    sample = commands.add_parser("sample", help="draw from a trained model")
    sample.add_argument("name", metavar="NAME")
    sample.add_argument("number", type=int, help="how many samples")
    sample.add_argument("file", metavar="FILE.npy", help="where they go")
    sample.add_argument("--device", help="cpu, cuda, ...; default: the best")
    sample.add_argument("--seed", type=int, default=0, help="of the noise")
    sample.add_argument("--out", metavar="DIR", help="another zoo")
    sample.set_defaults(run=_sample)


def _sample(options: argparse.Namespace) -> int:
    import numpy as np

    from .. import zoo
    from ..devices import lost_processes_explained, processes_or_device
    from ..files import atomic_write
    from ..training import sample

    model: Any = zoo.load(options.name, *_folder(options.out))
    if not hasattr(model, "sample"):
        raise ValueError(
            f"{options.name} is a {type(model).__name__}, from which nothing "
            "is drawn; name a density"
        )
    run = processes_or_device(options.device)
    with lost_processes_explained(None):
        found = sample(model.to(run.device), options.number, seed=options.seed)
    if run.rank == 0:
        with atomic_write(options.file) as file:
            np.save(file, found.cpu().numpy())
        print(f"{options.file}: {found.dtype}, {tuple(found.shape)}")
    return 0


def _add_results(commands: Any) -> None:
    results = commands.add_parser("results", help="what the zoo scores")
    results.add_argument("--chapter", type=int, help="of one chapter alone")
    results.add_argument("--out", metavar="DIR", help="another zoo")
    results.set_defaults(run=_results)


def _results(options: argparse.Namespace) -> int:
    from .. import zoo

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
    from .. import zoo

    recipe = zoo.recipe(options.name)
    card = zoo.card(options.name, *_folder(options.out))
    print(f"{recipe.name}: {recipe.summary} (chapter {recipe.chapter})")
    print(_describe(card))
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
