"""Speech: one studio voice reading the prompts of a telephone exchange.

Recorded by Allison Smith for Asterisk: 553 recordings, 24 minutes, 8 kHz,
16 bits. (The published set holds 568; silence, beeps and monkeys are left
out here.)

What is bundled: the ten digits ``digits/0`` to ``digits/9``, the 26 words
``phonetic/a_p`` to ``phonetic/z_p``, and as many whole sentences as fit into
90 seconds in all: recordings of 2 to 5 seconds outside of any folder, in the
order of the CRC-32 of their names.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import archives, store
from .fetch import locate, wants_full
from .sources import SPEECH_KEYS

NOT_SPEECH = {
    "ascending-2tone",
    "beep",
    "beeperr",
    "descending-2tone",
    "tt-monkeys",
}


class Recordings(NamedTuple):
    """Recordings of one voice.

    Attributes:
        waveforms: One int16 tensor (T_i,) each, in {-32768, ..., 32767}.
        names: What is said, more or less, such as "digits/4".
        sample_rate: Samples per second.
    """

    waveforms: list[Tensor]
    names: list[str]
    sample_rate: int


def prompts(split: str = "train", full: bool | None = None) -> Recordings:
    """Return recordings of one voice, in the order of their names.

    A recording is in the test split where the CRC-32 of its name is 3 modulo
    10: an eleventh, and the same ones in the bundled part as in all of them.

    Args:
        split: "train" or "test".
        full: All of them, or the bundled part; None means all of them in the
            profile ``full`` alone. All of them are read from ``prompts.npz``
            in the folder of :func:`dgm_course.data.store.folder`, or from
            the WAV files in its folder ``prompts``, or downloaded.

    Raises:
        OSError: If all of them are wanted, not at hand and out of reach.
        ValueError: For another split, or a damaged file.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    arrays = _read(full)
    names = [str(name) for name in arrays["names"]]
    flat = torch.from_numpy(arrays["waveforms"])
    ends = arrays["offsets"].tolist()
    chosen = [
        (flat[start:end], name)
        for start, end, name in zip(ends, ends[1:], names)
        if is_speech(name) and is_test(name) == (split == "test")
    ]
    rate = int(arrays["sample_rate"])
    return Recordings([w for w, _ in chosen], [n for _, n in chosen], rate)


def is_speech(name: str) -> bool:
    """Return whether a recording of the published set is speech."""
    return name not in NOT_SPEECH and not name.startswith("silence/")


def is_test(name: str) -> bool:
    """Return whether a recording belongs to the test split."""
    return zlib.crc32(name.encode()) % 10 == 3


def _read(full: bool | None) -> archives.Arrays:
    if wants_full(full) and not store.path_of("prompts").exists():
        folder = store.folder() / "prompts"
        if folder.is_dir():
            return _read_folder(folder)
    path = locate("prompts", full)
    arrays = store.read(path, SPEECH_KEYS)
    waveforms, offsets = arrays["waveforms"], arrays["offsets"]
    whole = (
        waveforms.dtype == np.int16
        and waveforms.ndim == offsets.ndim == 1
        and len(offsets) == len(arrays["names"]) + 1
        and offsets[0] == 0
        and offsets[-1] == len(waveforms)
        and (np.diff(offsets) > 0).all()
    )
    if not whole:
        raise ValueError(
            f"{path}: waveforms {waveforms.dtype} {waveforms.shape}, offsets "
            f"{offsets.shape} and {len(arrays['names'])} names do not fit; "
            "expected int16 (T,) and offsets (n + 1,) that rise from 0 to T "
            "for n names"
        )
    return arrays


def _read_folder(folder: Path) -> archives.Arrays:
    """Read all WAV files below a folder, named by their relative paths."""
    paths = sorted(folder.rglob("*.wav"))
    if not paths:
        raise ValueError(
            f"{folder} holds no .wav file; put 8 kHz 16-bit mono recordings "
            "there, or remove it and run `dgm data get prompts`"
        )
    return archives.join(
        {
            path.relative_to(folder).with_suffix("").as_posix(): (
                archives.read_wav(str(path), str(path))
            )
            for path in paths
        }
    )
