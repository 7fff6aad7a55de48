"""What a VAE is trained on: its ELBO, and the usual variations of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import VAE


def binarize(pixels: Tensor, seed: int | None = None) -> Tensor:
    """Draw a 1 with probability grey value / 255 (Salakhutdinov, 2008).

    Args:
        pixels: uint8 grey values, any shape.
        seed: None draws anew at each call (stochastic binarization, as in
            Burda et al., 2016); a number gives a fixed data set.

    Returns:
        uint8 in {0, 1}, of the same shape.

    Raises:
        ValueError: If the pixels are not uint8.
    """
    if pixels.dtype != torch.uint8:
        raise ValueError(
            f"pixels are {pixels.dtype}; expected uint8 grey values in "
            "{0, ..., 255} (for values in [0, 1]: multiply by 255 and round)"
        )
    # a threshold in {0, ..., 254} is below v with probability v / 255
    if seed is None:
        threshold = torch.empty_like(pixels).random_(255)
    else:  # on the CPU, so that every device gets the same data set
        generator = torch.Generator().manual_seed(seed)
        threshold = torch.empty(pixels.shape, dtype=torch.uint8)
        threshold = threshold.random_(255, generator=generator).to(
            pixels.device
        )
    return (pixels > threshold).to(torch.uint8)


@dataclass(frozen=True)
class Objective:
    """A loss for :func:`dgm_course.training.fit`: -ELBO, or a relative of it.

    A model in evaluation mode gets the plain negative ELBO, whatever the
    options: what is reported is a bound on log p(x).

    Attributes:
        beta: Weight of the KL (Higgins et al., 2017).
        warmup: Steps in which the weight grows linearly from 0 to ``beta``
            (Sønderby et al., 2016).
        free_bits: KL in nats, per group, below which its gradient is
            dropped: sum_j max(free_bits, mean over the batch of KL_j)
            (Kingma et al., 2016, equation 15).
        prepare: Applied to each batch first, such as :func:`binarize`.
    """

    beta: float = 1.0
    warmup: int = 0
    free_bits: float = 0.0
    prepare: Callable[[Tensor], Tensor] | None = None

    def __call__(self, model: VAE, batch: Tensor, step: int) -> Tensor:
        """Return the loss in nats, one value per sample, (B,)."""
        x = batch if self.prepare is None else self.prepare(batch)
        parts = model.parts(x)
        if not model.training:
            return -parts.elbo
        # the choice is made on the mean, so the mean of the values returned
        # is the mean that the formula asks for
        groups = parts.kl_groups
        if self.free_bits > 0:  # an estimated KL may be below 0
            free = groups.mean(0) < self.free_bits
            groups = groups.masked_fill(free, self.free_bits)
        weight = self.beta
        if step < self.warmup:
            weight = self.beta * (step + 1) / self.warmup
        return weight * groups.sum(1) - parts.reconstruction
