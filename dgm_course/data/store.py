"""Where the full data sets lie: one ``<name>.npz`` each, whole or not there.

The folder is ``DGM_DATA`` where that is set (for a classroom without a
network: fill it once with ``dgm data get all``, then share it, read-only),
else the cache folder of the user. What the archives hold::

    mnist, fashion_mnist  train_images, test_images: uint8 (N, 28, 28)
                          train_labels, test_labels: integers (N,)
    cifar10               the same, with images (N, 32, 32, 3), RGB
    prompts               waveforms: int16 (T,), all recordings in a row
                          offsets: (n + 1,), recording i is waveforms
                          from offsets[i] to offsets[i + 1]
                          names: text (n,); sample_rate: a number, in Hz
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from ..files import atomic_write

BUNDLED = Path(__file__).parent / "bundled"


def folder() -> Path:
    """Return the folder of the full data sets; it need not exist yet.

    Raises:
        ImportError: If neither ``DGM_DATA`` nor pooch says where it is.
    """
    given = os.environ.get("DGM_DATA")
    if given:
        return Path(given).expanduser()
    return Path(import_pooch().os_cache("dgm-course"))


def import_pooch() -> ModuleType:
    """Import pooch, which only the full data sets need.

    Raises:
        ImportError: With what to do, if it is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "the full data sets need pooch: `pip install pooch`, or set "
            "DGM_DATA to a folder that holds them"
        ) from error
    return pooch


def path_of(name: str) -> Path:
    """Return where the archive of a data set is, or will be."""
    return folder() / f"{name}.npz"


def read(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays out of an archive.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged, or lacks one of the arrays.
    """
    try:
        with np.load(path) as arrays:
            return {key: arrays[key] for key in keys}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or of another kind ({type(error).__name__}: "
            f"{error}); expected an npz archive with {', '.join(keys)}. Copy "
            f"it again, or replace it: `dgm data get {path.stem}`"
        ) from error


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an archive atomically, readable by everyone.

    Raises:
        OSError: With the path and what to do, where it cannot be written.
    """
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    path.chmod(0o644)  # a temporary file is its owner's: a class shares it


def check_room(path: Path, megabytes: int) -> None:
    """Fail before a long download where its result could not be kept.

    Raises:
        OSError: If the folder of ``path`` cannot be written to, or is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(
            f"{path} is to be downloaded and cannot be written "
            f"({error.strerror}); copy it there, or set DGM_DATA to a folder "
            "that holds it or that you can write to"
        ) from error
    free = shutil.disk_usage(path.parent).free // 10**6
    if free < megabytes:
        raise OSError(
            f"{path} needs {megabytes} MB and {free} MB are free; free some "
            "space, or set DGM_DATA to another folder"
        )
