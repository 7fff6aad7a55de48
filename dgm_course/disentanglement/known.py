"""Codes of which one knows how disentangled they are: to try metrics on.

Chapter 11 shows what each score says of them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ideal(factors: Tensor) -> Tensor:
    """One unit for each factor, standardized: (n, K) to (n, K), float64."""
    levels = factors.double()
    return (levels - levels.mean(0)) / levels.std(0, correction=0)


def permuted(factors: Tensor, seed: int = 0) -> Tensor:
    """The ideal code (n, K), its units shuffled and each sign turned.

    As good as the ideal: no score may notice.
    """
    codes = ideal(factors)
    draw = torch.Generator().manual_seed(seed)
    return -codes[:, torch.randperm(codes.shape[1], generator=draw)]


def rotated(factors: Tensor, seed: int = 0) -> Tensor:
    """The ideal code (n, K) turned at random: all is known, mixed up."""
    codes = ideal(factors)
    draw = torch.Generator().manual_seed(seed)
    k = codes.shape[1]
    noise = torch.randn(k, k, generator=draw, dtype=codes.dtype)
    return codes @ torch.linalg.qr(noise).Q


def unrelated(factors: Tensor, seed: int = 0) -> Tensor:
    """Gaussian noise (n, K) that knows nothing of the factors."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(factors.shape, generator=draw, dtype=torch.float64)
