"""A stack of bits: symbols go on it and come off it, last in, first out.

Asymmetric numeral systems (Duda, 2014) code a symbol of probability P in
-log2 P bits. What makes them a stack is what bits back needs: random bits
can be read off it as a sample of any distribution, and the sample put back.
The coder is that of the library constriction (Bamler, 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import constriction
except ImportError as error:  # an optional extra
    raise ImportError(
        "lossless coding needs the library constriction: pip install "
        "'dgm-course[coding]', or pip install constriction"
    ) from error

_MODEL = constriction.stream.model
WORST = 2.0**-24  # the coder's smallest probability
# Reach of a normal, in its largest std. One beyond 6 std is rarer than the
# coder can say, but each integer in reach has its smallest probability, so one
# in a thousand that is read off lies anywhere in reach. What is borrowed has
# half the reach, for it is written again under another normal, around a mean
# that is not its own.
REACH, BORROWED = 16, 8


class Stack:
    """Bits in memory, and the distributions that write and read them.

    Every ``pop`` undoes the ``push`` of the same arguments, and the other way
    round. Arrays are flat; parameters are float64, one per symbol.

    Args:
        words: The bits on it, 32 in a word.
        fresh: Whether these are random bits to begin with, and not what
            :meth:`words` once returned.
    """

    def __init__(self, words: np.ndarray, fresh: bool = True) -> None:
        self._coder = constriction.stream.stack.AnsCoder(
            words.astype(np.uint32), seal=fresh
        )

    @property
    def bits(self) -> int:
        """How many bits stand on the stack."""
        return self._coder.num_valid_bits()

    def words(self) -> np.ndarray:
        """Return the stack as words of 32 bits."""
        return self._coder.get_compressed()

    def holds_just(self, words: np.ndarray) -> bool:
        """Return whether it is again as it was begun with these words."""
        return np.array_equal(self.words(), Stack(words).words())

    def scramble(self, bits: int, key: Sequence[int]) -> None:
        """Flip the upper bits at random; the same call flips them back.

        Right after a push the top of the stack is the quantile of the symbol
        that was pushed. A sample read off it would depend on that symbol,
        and a chain of them would be no samples at all (Townsend et al.,
        2019, on clean bits).
        """
        count = bits // 16
        mask = np.random.default_rng(key).integers(1 << 16, size=count)
        self.push_uniform(self.pop_uniform(count, 16) ^ mask, 16)

    def push_binary(self, x: np.ndarray, p: np.ndarray) -> None:
        """Write bits x, each a 1 with its probability p."""
        self._push(x, _MODEL.Bernoulli(perfect=False), _inside(p))

    def pop_binary(self, p: np.ndarray) -> np.ndarray:
        """Read bits."""
        return self._pop(_MODEL.Bernoulli(perfect=False), _inside(p))

    def push_categorical(self, x: np.ndarray, p: np.ndarray) -> None:
        """Write symbols x, (N,), with probabilities p, (N, K)."""
        self._push(x, _MODEL.Categorical(perfect=False), p)

    def pop_categorical(self, p: np.ndarray) -> np.ndarray:
        """Read N symbols."""
        return self._pop(_MODEL.Categorical(perfect=False), p)

    def push_uniform(self, x: np.ndarray, bits: int) -> None:
        """Write integers of [0, 2^bits)."""
        for low in range(0, bits, 16):  # the coder takes 24 bits at most
            some = min(16, bits - low)
            part = (x >> low) & ((1 << some) - 1)
            self._push(part, _MODEL.Uniform(2**some))

    def pop_uniform(self, n: int, bits: int) -> np.ndarray:
        """Read n such integers."""
        x = np.zeros(n, dtype=np.int64)
        for low in reversed(range(0, bits, 16)):
            some = min(16, bits - low)
            x += self._pop(_MODEL.Uniform(2**some), n) << low
        return x

    def push_normal(
        self,
        k: np.ndarray,
        mean: np.ndarray,
        std: np.ndarray,
        reach: int = REACH,
    ) -> None:
        """Write integers k of rounded N(mean, std^2).

        Raises:
            ValueError: If one lies more than ``reach`` of the largest std
                from its mean.
        """
        low = _low_bits(std)
        if low:  # finer than the coder resolves: there the density is flat
            self.push_uniform(k & ((1 << low) - 1), low)
            k = k >> low
        center, mean, std, window = _centered(mean, std, low, reach)
        offset = k - center
        if np.abs(offset).max() > window:
            worst = np.argmax(np.abs(offset))
            raise ValueError(
                f"value number {worst} lies {abs(offset[worst])} steps from "
                f"its mean; expected at most {window}, {reach} times the "
                "largest standard deviation"
            )
        model = _MODEL.QuantizedGaussian(-window, window)
        self._push(offset, model, mean, std)

    def pop_normal(
        self, mean: np.ndarray, std: np.ndarray, reach: int = REACH
    ) -> np.ndarray:
        """Read integers of rounded normals."""
        low = _low_bits(std)
        center, mean, std, window = _centered(mean, std, low, reach)
        model = _MODEL.QuantizedGaussian(-window, window)
        k = center + self._pop(model, mean, std)
        return (k << low) + self.pop_uniform(len(k), low) if low else k

    def _push(self, x: np.ndarray, *model: Any) -> None:
        x = np.ascontiguousarray(x, dtype=np.int32)
        self._coder.encode_reverse(x, *model)

    def _pop(self, *model: Any) -> np.ndarray:
        return np.asarray(self._coder.decode(*model), dtype=np.int64)


def _low_bits(std: np.ndarray) -> int:
    """Return how many bits to leave out so that no std is above 2^10."""
    return max(0, math.ceil(math.log2(float(std.max()))) - 10)


def _centered(
    mean: np.ndarray, std: np.ndarray, low: int, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return integers near the means, the normals around them, a window.

    Without its ``low`` last bits k stands for 2^low integers, whose middle is
    ``2^low (k + 1/2) - 1/2``. The window ends at the reach, and no earlier
    than at the integers beside a narrow normal.
    """
    mean, std = (mean + 0.5) / 2**low - 0.5, std / 2**low
    center = np.rint(mean).astype(np.int64)
    window = math.ceil(reach * float(std.max())) + 1
    return center, mean - center, std, window


def _inside(p: np.ndarray) -> np.ndarray:
    return np.clip(p, WORST, 1 - WORST)
