"""Pictures: MNIST, Fashion-MNIST and CIFAR-10.

What is bundled: the first 1,000 training and the first 200 test pictures of
each digit of MNIST, the first 500 and the first 100 of each class of
Fashion-MNIST, in their original order; nothing of CIFAR-10, for which no
licence is stated.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
Recognition", 1998.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import store
from .fetch import locate


class Images(NamedTuple):
    """Pictures with their labels.

    Attributes:
        images: uint8 (N, C, H, W), in {0, ..., 255}.
        labels: int64 (N,).
    """

    images: Tensor
    labels: Tensor


def mnist(split: str = "train", full: bool | None = None) -> Images:
    """Return handwritten digits, 1 x 28 x 28 (LeCun et al., 1998).

    Args:
        split: "train" (60,000; bundled: 10,000) or "test" (10,000; bundled:
            2,000).
        full: All of them, downloaded once, or the bundled part; None means
            all of them in the profile ``full`` alone.

    Raises:
        OSError: If all of them are wanted, not at hand and out of reach.
        ValueError: For another split, or a damaged file.
    """
    return _load("mnist", split, full, (28, 28))


def fashion_mnist(split: str = "train", full: bool | None = None) -> Images:
    """Return pictures of clothes, 1 x 28 x 28 (Xiao et al., 2017).

    Args:
        split: "train" (60,000; bundled: 5,000) or "test" (10,000; bundled:
            1,000).
        full: As in :func:`mnist`.

    Raises:
        OSError: If all of them are wanted, not at hand and out of reach.
        ValueError: For another split, or a damaged file.
    """
    return _load("fashion_mnist", split, full, (28, 28))


def cifar10(split: str = "train", full: bool | None = None) -> Images:
    """Return photographs of ten classes, 3 x 32 x 32 (Krizhevsky, 2009).

    Args:
        split: "train" (50,000) or "test" (10,000).
        full: Whether to download them where they are not at hand; None means
            in the profile ``full`` alone. There is no bundled part.

    Raises:
        FileNotFoundError: If they are not at hand and ``full`` is false.
        OSError: If they are not at hand and out of reach.
        ValueError: For another split, or a damaged file.
    """
    return _load("cifar10", split, full, (32, 32, 3))


def _load(
    name: str, split: str, full: bool | None, shape: tuple[int, ...]
) -> Images:
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    path = locate(name, full)
    keys = [f"{split}_images", f"{split}_labels"]
    images, labels = store.read(path, keys).values()
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {keys[1]} is {labels.dtype} {labels.shape}; expected "
            "integers (N,)"
        )
    expected = (len(labels), *shape)
    if images.dtype != np.uint8 or images.shape != expected:
        raise ValueError(
            f"{path}: {keys[0]} is {images.dtype} {images.shape}; expected "
            f"uint8 {expected}, as {keys[1]} has {len(labels)} entries"
        )
    pixels = torch.from_numpy(images)
    if len(shape) == 2:
        pixels = pixels[:, None]
    else:
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.from_numpy(labels).long())
