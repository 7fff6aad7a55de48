"""Bring a data set to disk: mirrors in turn, hashes, all or nothing."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from tqdm.auto import tqdm

from ..profile import profile
from . import store
from .sources import Source, source_of


def download(name: str) -> Path:
    """Bring a data set from its mirrors and write its archive.

    The files are kept in memory until all of them are verified, so that an
    error or Ctrl-C leaves nothing behind. Two processes may do this at once.

    Args:
        name: "mnist", "fashion_mnist", "cifar10" or "prompts".

    Returns:
        Path of the archive.

    Raises:
        OSError: If no mirror serves the right content, or the folder cannot
            be written to or is full.
        ValueError: If there is no data set of that name.
    """
    source = source_of(name)
    path = store.path_of(name)
    store.check_room(path, source.megabytes)
    contents = [_fetch(name, source, file) for file in source.sha256]
    store.write(path, source.build(contents))
    return path


def locate(name: str, full: bool | None) -> Path:
    """Return the archive to read: all of a data set, or the bundled part.

    Args:
        name: As in :func:`download`.
        full: All of it, downloaded where it is not at hand; None means in the
            profile ``full`` alone.

    Raises:
        FileNotFoundError: If all of it is not wanted and nothing is bundled.
        OSError: If the download fails.
    """
    full = wants_full(full)
    bundled = store.BUNDLED / f"{name}.npz"
    if not full and bundled.exists():
        return bundled
    path = store.path_of(name)
    if path.exists():
        return path
    if not full:
        raise FileNotFoundError(
            f"{path} is not there, and nothing of {name} comes with the "
            f"package. Run `dgm data get {name}`, or ask for it with "
            f"full=True, or set DGM_DATA to a folder that holds {name}.npz"
        )
    return download(name)


def wants_full(full: bool | None) -> bool:
    """Return whether all of a data set is wanted, by default by profile."""
    if full is None:
        return profile(smoke=False, read=False, full=True)
    return full


def _fetch(name: str, source: Source, file: str) -> bytes:
    """Return the verified content of one file."""
    failures = []
    for mirror in source.mirrors:
        try:
            content = source.unpack(_http(mirror + file, file))
        except ImportError:
            raise
        except Exception as error:  # each kind of damage has its own
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            failures.append(f"{mirror}{file}: {reason}")
            continue
        found = hashlib.sha256(content).hexdigest()
        if found == source.sha256[file]:
            return content
        failures.append(
            f"{mirror}{file}: the SHA-256 of the content is {found}, "
            f"expected {source.sha256[file]}"
        )
    hint = ", or use the bundled part (full=False)" if source.bundled else ""
    raise OSError(
        f"cannot download {name}; nothing was written. Tried:\n  "
        + "\n  ".join(failures)
        + "\nCheck the network and try again, or set DGM_DATA to a folder "
        f"that holds {name}.npz{hint}"
    )


def _http(url: str, label: str) -> bytes:
    """Return the bytes behind an address, with a progress bar."""
    pooch = store.import_pooch()
    buffer = io.BytesIO()
    # pooch sets the total; until then a bar without one is no true value
    with tqdm(desc=label, total=1, unit="B", unit_scale=True) as bar:
        fetch = pooch.HTTPDownloader(
            progressbar=bar, chunk_size=1 << 16, timeout=30
        )
        fetch(url, buffer, None)
    return buffer.getvalue()
