"""Recordings in rows, what is known of them, and random crops (chapter 6).

The recordings of a class stand in one row, so that what precedes a recording
is the silence at the end of another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import data
from ..wavenet import spectra

HOP, BANDS = 128, 20
CLASSES = ("digits", "letters", "phonetic")  # all others are sentences
CONTEXT, LENGTH = 512, 4096


class Row(NamedTuple):
    """All recordings of one class, one after the other.

    Attributes:
        sound: int16 (T,): CONTEXT zeros, the recordings, and zeros up to a
            multiple of HOP.
        lengths: Samples of each recording.
        label: The number of the class.
    """

    sound: Tensor
    lengths: list[int]
    label: int


def label_of(name: str) -> int:
    """Return the class of a recording: that of its folder."""
    folder = name.rpartition("/")[0]
    return CLASSES.index(folder) if folder in CLASSES else len(CLASSES)


def in_rows(split: str, full: bool | None = None) -> list[Row]:
    """Return the recordings, one row a class that has any."""
    found, rows = data.prompts(split, full=full), []
    for label in range(len(CLASSES) + 1):
        some = [
            sound
            for sound, name in zip(found.waveforms, found.names)
            if label_of(name) == label
        ]
        if some:
            lengths = [len(sound) for sound in some]
            gap = some[0].new_zeros(-sum(lengths) % HOP)
            start = some[0].new_zeros(CONTEXT)
            rows.append(Row(torch.cat([start, *some, gap]), lengths, label))
    return rows


def as_number(sound: Tensor) -> Tensor:
    """Return 16-bit sound as numbers in [-1, 1)."""
    return sound.float() / 32768


def windows(row: Row, length: int, hop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a row, and what is known of it, into pieces that overlap.

    Returns:
        Sounds (n, length), features (n, BANDS, length / HOP), labels (n,).
    """
    sound = row.sound
    # the last piece is filled with silence
    missing = max(length - len(sound), (length - len(sound)) % hop)
    sound = torch.cat([sound, sound.new_zeros(missing)])
    known = spectra.features(as_number(sound)[None])[0]
    pieces = sound.unfold(0, length, hop)
    frames = known.unfold(1, length // HOP, hop // HOP).movedim(1, 0)
    return pieces, frames, torch.full((len(pieces),), row.label)


def crops() -> list[Tensor]:
    """Training data: pieces with room to cut a random crop from each."""
    width = CONTEXT + 2 * LENGTH
    pieces = [windows(row, width, LENGTH) for row in in_rows("train")]
    return [torch.cat(parts) for parts in zip(*pieces)]


def cut(batch: Any, length: int = CONTEXT + LENGTH) -> tuple[Tensor, ...]:
    """Cut a random crop, in steps of HOP, from each piece of a batch."""
    sound, known, label = batch
    frames = length // HOP
    first = torch.randint(
        known.shape[-1] - frames + 1, (len(sound), 1), device=sound.device
    )
    index = first + torch.arange(frames, device=sound.device)
    known = known.gather(2, index[:, None].expand(-1, known.shape[1], -1))
    blocks = sound.unflatten(1, (-1, HOP))
    sound = blocks.gather(1, index[..., None].expand(-1, -1, HOP)).flatten(1)
    return sound, known, label
