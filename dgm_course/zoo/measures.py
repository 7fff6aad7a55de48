"""What recipes share: the splits of a data set, and how models are judged.

A metric is a mean over objects with its standard error, in the unit that the
card names. A recipe adds to this only what is new in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import data
from ..likelihoods import bits_per_dim
from ..vae import binarize
from ..verify import mean_and_se
from .card import Metric
from .recipe import Metrics

SEEDS = {"train": 0, "test": 1}


def digits(split: str = "train", full: bool | None = None) -> Tensor:
    """MNIST as rows of 784 bytes, (n, 784).

    Args:
        split: "train" or "test".
        full: All of it, or what the package bundles; None lets the profile
            decide.
    """
    return data.mnist(split, full=full).images.flatten(1)


def grey_digits() -> Tensor:
    """The training digits, grey, (n, 1, 28, 28); the profile decides n."""
    return data.mnist("train").images


def binary_digits(split: str, full: bool | None = None) -> Tensor:
    """Digits (n, 1, 28, 28) binarized once, with the seed of their split."""
    return binarize(data.mnist(split, full=full).images, seed=SEEDS[split])


def each(
    function: Callable[[Tensor], Tensor], x: Tensor, size: int = 1000
) -> Tensor:
    """Apply a function to chunks (size, ...) of the data."""
    return torch.cat([function(some) for some in x.split(size)])


def metric(values: Tensor, unit: str = "nats") -> Metric:
    """Mean and standard error of one value per object, (n,)."""
    return Metric(*mean_and_se(values), unit, len(values))


def paired(one: Tensor, other: Tensor, unit: str = "nats") -> Metric:
    """How much ``one``, (n,), is above ``other`` on the same objects: the mean.

    The standard error is that of the differences: what makes an object easy
    or hard for both models cancels.

    Raises:
        ValueError: If they have not one value for each of the same objects.
    """
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(
            f"values have shapes {tuple(one.shape)} and {tuple(other.shape)}; "
            "expected one value of each model per object, (n,) and (n,)"
        )
    return metric(one - other, unit)


def bits(model: Any, rows: Tensor) -> Metric:
    """Bits per dimension of rows (n, ...) by the ELBO, one noise each."""
    nats = each(model.elbo, rows, 500)
    return metric(bits_per_dim(nats, rows[0].numel()), "bits/dim")


def bits_of_digits(model: Any) -> Metrics:
    """Bits per dimension of the bundled 2,000 test digits."""
    return {"test, bundled 2,000": bits(model, digits("test", full=False))}


def bits_of_all_digits(model: Any) -> Metrics:
    """Bits per dimension of all 10,000 test digits."""
    return {"test": bits(model, digits("test", full=True))}
