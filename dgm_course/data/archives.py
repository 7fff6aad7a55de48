"""From the bytes of published files to arrays.

Nothing is written to disk and nothing is executed: no pickle is opened and no
archive is extracted.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import wave
from collections.abc import Sequence
from typing import IO

import numpy as np

Arrays = dict[str, np.ndarray]

SAMPLE_RATE = 8000  # of the recordings, in Hz
MOST = 2 * 10**8  # bytes: no file of ours is as large once unpacked
CIFAR_FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


def gunzip(data: bytes) -> bytes:
    """Undo gzip; data that a server has unpacked already is left alone.

    Raises:
        ValueError: If more comes out than any file of ours holds.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    with gzip.open(io.BytesIO(data)) as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError(f"more than {MOST} bytes once unpacked")
    return content


def idx(data: bytes) -> np.ndarray:
    """Return the array of an idx file, uint8 (LeCun et al., 1998).

    Layout: two zero bytes, the type (8: unsigned byte), the number of axes,
    the size of each axis as a big-endian 32-bit integer, the values.
    """
    axes = data[3]
    shape = np.frombuffer(data, ">u4", count=axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def idx_images(contents: Sequence[bytes]) -> Arrays:
    """Return the four arrays of MNIST or Fashion-MNIST."""
    names = ["train_images", "train_labels", "test_images", "test_labels"]
    return dict(zip(names, map(idx, contents)))


def cifar10_records(archive: bytes) -> bytes:
    """Return the records of all six batches in a row, test batch last.

    Raises:
        KeyError: If a batch is missing.
    """
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            wanted = name in CIFAR_FILES and member.size < MOST
            file = tar.extractfile(member) if wanted else None
            if file is not None:
                found[name] = file.read()
    return b"".join(found[name] for name in CIFAR_FILES)


def cifar10_images(contents: Sequence[bytes]) -> Arrays:
    """Return images (N, 32, 32, 3) and labels (N,) of CIFAR-10.

    A record is one byte of label, then 1024 bytes each of red, green and
    blue, row by row (Krizhevsky, 2009).
    """
    records = np.frombuffer(contents[0], np.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = records[:, 0]
    test = len(records) // 6  # one of six batches of equal size
    return {
        "train_images": images[:-test],
        "train_labels": labels[:-test],
        "test_images": images[-test:],
        "test_labels": labels[-test:],
    }


def deb_recordings(contents: Sequence[bytes]) -> Arrays:
    """Return the recordings of a Debian package of Asterisk's prompts."""
    recordings = {}
    data = io.BytesIO(_ar_member(contents[0], b"data.tar"))
    with tarfile.open(fileobj=data) as tar:
        for member in tar:
            name = member.name.partition("/en_US_f_Allison/")[2]
            file = tar.extractfile(member)
            if file is not None and name.endswith(".wav"):
                recordings[name.removesuffix(".wav")] = read_wav(file, name)
    return join(recordings)


def join(recordings: dict[str, np.ndarray]) -> Arrays:
    """Return recordings in a row, ordered by name, with their offsets."""
    names = sorted(recordings)
    lengths = [len(recordings[name]) for name in names]
    return {
        "waveforms": np.concatenate([recordings[name] for name in names]),
        "offsets": np.cumsum([0, *lengths]),
        "names": np.array(names),
        "sample_rate": np.array(SAMPLE_RATE),
    }


def read_wav(file: IO[bytes] | str, name: str) -> np.ndarray:
    """Return the samples of a WAV file, int16 (T,).

    Args:
        file: An open file, or a path.
        name: What to call it in an error.

    Raises:
        ValueError: If it is not 16-bit mono at 8 kHz.
    """
    try:
        with wave.open(file) as wav:
            found = wav.getframerate(), wav.getnchannels(), wav.getsampwidth()
            data = wav.readframes(wav.getnframes())
            missing = wav.getnframes() * found[1] * found[2] - len(data)
            if missing > 0:
                raise EOFError(f"{missing} bytes are missing")
    except (EOFError, wave.Error) as error:
        raise ValueError(
            f"{name} is no complete WAV file ({error}); copy it again"
        ) from error
    if found != (SAMPLE_RATE, 1, 2):
        raise ValueError(
            f"{name} has {found[0]} Hz, {found[1]} channels and "
            f"{found[2]} bytes a sample; expected 8000 Hz, 1 channel and 2 "
            "bytes: convert it, for example with `sox`"
        )
    return np.frombuffer(data, "<i2").astype(np.int16)


def _ar_member(archive: bytes, prefix: bytes) -> bytes:
    """Return the first member of an ar archive whose name starts so.

    Layout: "!<arch>" and a newline, then for each member a header of 60 bytes
    (name in the first 16, size in decimal at 48) and its content, padded to
    an even length.
    """
    start = 8
    while start < len(archive):
        header = archive[start : start + 60]
        size, start = int(header[48:58]), start + 60
        if header.startswith(prefix):
            return archive[start : start + size]
        start += size + size % 2
    raise ValueError(f"the package has no member {prefix.decode()}")
