"""Pictures: MNIST and Fashion-MNIST, in part bundled with the package."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BUNDLED = Path(__file__).parent / "bundled"


class Images(NamedTuple):
    """Pictures with their labels.

    Attributes:
        images: uint8 (N, C, H, W), in {0, ..., 255}.
        labels: int64 (N,).
    """

    images: Tensor
    labels: Tensor


def mnist(split: str = "train") -> Images:
    """Return handwritten digits, 1 x 28 x 28 (LeCun et al., 1998).

    The bundled part holds the first 1,000 training and the first 200 test
    pictures of each digit, in their original order.

    Args:
        split: "train" or "test".
    """
    return _bundled("mnist", split)


def fashion_mnist(split: str = "train") -> Images:
    """Return pictures of clothes, 1 x 28 x 28 (Xiao et al., 2017).

    The bundled part holds the first 500 training and the first 100 test
    pictures of each class, in their original order.

    Args:
        split: "train" or "test".
    """
    return _bundled("fashion_mnist", split)


def _bundled(name: str, split: str) -> Images:
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    with np.load(BUNDLED / f"{name}.npz") as arrays:
        images = torch.from_numpy(arrays[f"{split}_images"])
        labels = torch.from_numpy(arrays[f"{split}_labels"]).long()
    if images.ndim == 3:
        images = images[:, None]
    return Images(images, labels)
