"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


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
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
