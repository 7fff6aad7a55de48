"""Files that are either whole or not there, and locks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

PREFIX = ".part-"
DAY = 24 * 3600  # no write takes as long


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` only when it is complete.

    The bytes go to a temporary file in the same folder (so the final rename
    works on a mounted Drive too); after an error, a full disk or a kill the
    old file is untouched.

    Raises:
        OSError: With the path and what to do, where it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PREFIX)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror}; choose another folder"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(name, path)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}; what was there "
            "before is untouched. Free some space or choose another folder"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock; under torchrun one process holds it for all.

    Raises:
        ValueError: If another run holds it.
        OSError: If nothing can be written there.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(
            f"{path} is locked: another run works on the same; wait for it or "
            "give another folder (if none is left, delete that file)"
        ) from error
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror}; choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left behind."""
    for part in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > DAY:
                part.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
