"""The command ``dgm``.

Each room of ``commands/`` adds its options and names what runs. Libraries are
imported where they are used: ``dgm --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .commands import data, grading, zoo


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
    for room in (data, zoo, grading):
        room.add(commands)
    options = parser.parse_args(argv)
    try:
        return options.run(options)
    except USER_ERRORS as error:
        print(f"dgm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dgm: stopped", file=sys.stderr)
        return 130


# what the user can mend: told in one line, without a traceback
USER_ERRORS = (ArithmeticError, ImportError, MemoryError, OSError, ValueError)
_DESCRIPTION = "Tools of the course on likelihood-based generative models."


if __name__ == "__main__":
    sys.exit(main())
