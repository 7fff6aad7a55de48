"""A table of real numbers: the MAGIC gamma telescope (Bock et al., 2004).

What is bundled: the ten measured columns of all 19,020 rows, unchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import store

NOISE = 2.0**-10  # width of the dequantization noise, in standard deviations


class Table(NamedTuple):
    """Rows of real numbers, standardized, in three fixed parts.

    Attributes:
        train: float32 (15125, D).
        validation: float32 (1890, D).
        test: float32 (1890, D).
        mean: float32 (D,), of the training rows in their own units...
        std: ... float32 (D,): x = mean + std * row. A log-density in the
            original units is sum(log(std)) lower.
        names: What the columns measure.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    mean: Tensor
    std: Tensor
    names: list[str]


def magic() -> Table:
    """Return ten measures of light flashes seen by a telescope.

    Three things are done to the published rows, always the same way:

    1. 115 repeated rows are dropped, or a test row could be a training row.
    2. Uniform noise is added. The file prints rounded numbers, and some of
       them often (98 widths are exactly 0). A density can put a spike of any
       height on such a value and has then no largest likelihood: the disease
       of chapter 1, and its cure. The noise of a column is 2^-10 of its
       standard deviation wide: as wide as the last printed digit or wider,
       and wide enough for 2^10 different numbers in float32, where narrower
       noise would round back to a few values.
    3. The rows are shuffled (the classes come one after the other), split
       80 : 10 : 10 and standardized by the training part.

    The class, gamma or hadron, is left out: this is a density to estimate.
    """
    arrays = store.read(store.BUNDLED / "magic.npz", ["columns", "names"])
    rows = unique_rows(arrays["columns"].T)
    # NumPy promises the same numbers for ever only from RandomState
    order = np.random.RandomState(0).permutation(len(rows))
    rows = dequantize(rows, seed=1)[order]
    tenth = len(rows) // 10
    test, validation, train = np.split(rows, [tenth, 2 * tenth])
    mean, std = train.mean(0), train.std(0)
    return Table(
        train=_float((train - mean) / std),
        validation=_float((validation - mean) / std),
        test=_float((test - mean) / std),
        mean=_float(mean),
        std=_float(std),
        names=[str(name) for name in arrays["names"]],
    )


def unique_rows(rows: np.ndarray) -> np.ndarray:
    """Return the rows without repetitions, in their order, as float64."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)].astype(np.float64)


def dequantize(rows: np.ndarray, seed: int) -> np.ndarray:
    """Add centered uniform noise, 2^-10 of a column's std wide.

    Args:
        rows: float64 (N, D).
        seed: Fixes the noise.

    Returns:
        float64 (N, D).
    """
    noise = np.random.RandomState(seed).uniform(-0.5, 0.5, rows.shape)
    return rows + NOISE * rows.std(0) * noise


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
