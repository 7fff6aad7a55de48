"""A likelihood is a file size: lossless compression with discrete models.

``compress`` writes a batch of objects with any model of the course and
``decompress`` reads it back, exactly. The length is -log2 of the likelihood,
or of its bound, plus what rounding costs; for a flow also what it bends over
the distance of local bits back (chapter 1 measures both).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..profile import is_quiet
from .codecs import Codec, Pixels, codec
from .stack import Stack

__all__ = [
    "Archive",
    "Codec",
    "Pixels",
    "compress",
    "decompress",
]


@dataclass(frozen=True)
class Archive:
    """Compressed objects.

    Attributes:
        words: The bits, 32 in a word.
        count: Number of objects.
        shape: Shape of one object.
        seed: Of the random bits that bits back needs to begin with; they
            are left over when everything has been read.
        begun_with: How many these are. The objects themselves take
            ``32 * len(words) - begun_with`` bits, up to one word.
    """

    words: np.ndarray
    count: int
    shape: tuple[int, ...]
    seed: int
    begun_with: int

    @property
    def bits(self) -> int:
        """Bits that the objects take."""
        return 32 * len(self.words) - self.begun_with

    def to_bytes(self) -> bytes:
        """Return the contents of a file: a header, then the words."""
        head = [self.count, self.seed, self.begun_with]
        head += [len(self.shape), *self.shape]
        return np.concatenate([head, self.words]).astype("<u4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Archive:
        """Undo :meth:`to_bytes`.

        Raises:
            ValueError: If the data are no archive.
        """
        numbers = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
        end = 4 + int(numbers[3]) if len(numbers) > 4 else len(numbers)
        if len(data) % 4 or end >= len(numbers):
            raise ValueError(
                f"these {len(data)} bytes are no archive, or only the "
                "beginning of one; write it again with Archive.to_bytes"
            )
        count, seed, begun_with = (int(n) for n in numbers[:3])
        shape = tuple(int(n) for n in numbers[4:end])
        return cls(
            numbers[end:].astype(np.uint32), count, shape, seed, begun_with
        )


def compress(model: Any, x: Tensor, seed: int = 0) -> Archive:
    """Write a batch of objects.

    Args:
        model: A VAE, a Dequantized flow, a PixelModel, or a codec such as
            :class:`Pixels`.
        x: Integers (B, ...).
        seed: Of the random bits that bits back begins with.

    Raises:
        TypeError: If no codec is known for the model.
        ValueError: If x holds floating-point values.
    """
    if x.is_floating_point():
        raise ValueError(f"x holds {x.dtype} values; a file holds integers")
    shape = tuple(x.shape[1:])
    chosen = codec(model, shape)
    words = _begin(chosen, seed)
    stack = Stack(words)
    for i, one in enumerate(tqdm(x.cpu().long(), disable=_quiet(x))):
        stack.scramble(chosen.borrowed, [seed, i])
        chosen.push(stack, one[None])
    return Archive(stack.words(), len(x), shape, seed, 32 * len(words))


def decompress(model: Any, archive: Archive) -> Tensor:
    """Read a batch of objects: (B, ...), int64.

    Raises:
        ValueError: If what is left at the end is not what the archive was
            begun with: it is damaged, or of another model.
    """
    chosen = codec(model, archive.shape)
    stack = Stack(archive.words, fresh=False)
    order = range(archive.count)[::-1]
    objects, reason = [], None
    try:
        for i in tqdm(order, disable=_quiet(order)):
            objects.append(chosen.pop(stack))
            stack.scramble(chosen.borrowed, [archive.seed, i])
    except ValueError as error:  # a number that this model would never code
        reason = error
    if reason or not stack.holds_just(_begin(chosen, archive.seed)):
        raise ValueError(
            "the archive does not end as it should; it is damaged, or was "
            "written with another model"
        ) from reason
    return torch.cat(objects[::-1])


def _begin(chosen: Codec, seed: int) -> np.ndarray:
    count = -(-chosen.borrowed // 32)
    generator = np.random.default_rng(seed)
    return generator.integers(2**32, size=count, dtype=np.uint32)


def _quiet(objects: Any) -> bool:
    return is_quiet(len(objects) >= 10)
