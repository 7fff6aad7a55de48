"""Writes the public tree: the repository without the instructors' part.

It refuses where a line of a solution or of a hidden test would be in it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from .build import INSTRUCTOR, build
from .leaks import leaks, secrets


class Leak(ValueError):
    """Text that only instructors may see is in what students would get."""


def release(root: Path, out: Path) -> int:
    """Write the public tree: what git tracks, without the instructors' part.

    Args:
        root: The repository, whose commit is written, not what lies around.
        out: A folder that does not exist, or is empty.

    Returns:
        The number of files.

    Raises:
        ValueError: If ``out`` holds something, a student's notebook is not
            the one that its source makes, or the work is not committed.
        Leak: If a file would tell a solution or a hidden test; nothing is
            left in ``out``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; give a new folder")
    tracked = ("status", "--porcelain", "--untracked-files=no")
    changed = _git(root, *tracked).decode().splitlines()
    if changed:
        raise ValueError(
            f"commit first: the tree is made of the last commit, and "
            f"{len(changed)} files differ from it, such as {changed[0][3:]}"
        )
    for path in build(root):
        if _git(root, *tracked, "--", str(path)):
            raise ValueError(
                f"{path.name} was not what its source makes; it is now: look "
                "at it and commit it"
            )
    out.mkdir(parents=True, exist_ok=True)
    try:
        archive = tarfile.open(
            fileobj=io.BytesIO(_git(root, "archive", "HEAD"))
        )
        members = [
            member
            for member in archive.getmembers()
            if not Path(member.name).is_relative_to(INSTRUCTOR)
        ]
        archive.extractall(out, members, filter="data")
        found = leaks(secrets(root), out)
        if found:
            raise Leak(
                "nothing was written, since students would have seen:\n"
                + "\n".join(f"  {path}: {line}" for path, line in found[:20])
            )
    except BaseException:
        shutil.rmtree(out)
        raise
    return sum(member.isfile() for member in members)


def _git(root: Path, *words: str) -> bytes:
    try:
        result = subprocess.run(
            ["git", *words], cwd=root, check=True, capture_output=True
        )
    except FileNotFoundError as error:
        raise ValueError(
            "the public tree is made with git: install it"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"git {' '.join(words)}: {error.stderr.decode().strip()}"
        ) from error
    return result.stdout
