"""``dgm data``: download and list data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


def add(commands: Any) -> None:
    """Add the command to a parser."""
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
    from ..data import download, sources, store

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
    from ..data import store

    try:
        store.read(path, keys)
    except ValueError as error:
        print(f"{error}\nreplacing it", file=sys.stderr)
        return False
    return True


def _data_list(options: argparse.Namespace) -> int:
    from ..data import sources, store

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
