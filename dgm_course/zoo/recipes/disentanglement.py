"""Chapter 11: beta-VAEs and a beta-TCVAE on a part of the world of sprites.

Small, so that five seeds of each fit on one core: 32 x 32 pixels, 5 of 40
orientations, every second position, two-layer networks. There is no test set:
the world is what is to be described, and all of it is seen in training.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...data import sprites
from ...disentanglement import TCObjective, alive, all_scores, decompose
from ...evaluation import Loss
from ...vae import VAE, Objective, encode_all, mlp_vae
from ..measures import metric
from ..recipe import Metrics, Recipe

SIZE, LATENTS = 32, 10
BASE = "sprites_beta_1"


@cache
def factors() -> Tensor:
    """The factors of all 23,040 pictures of this part of the world, (n, 5)."""
    return sprites.world(
        orientation=range(0, 10, 2), x=range(0, 32, 2), y=range(0, 32, 2)
    )


def pictures() -> Tensor:
    """All pictures, uint8 (n, 1, 32, 32)."""
    chunks = factors().split(1000)
    return torch.cat([sprites.render(some, SIZE) for some in chunks])


def build() -> VAE:
    """Ten units, a Bernoulli for each pixel."""
    return mlp_vae(LATENTS, hidden=(200, 100), shape=(1, SIZE, SIZE))


def lost_power(x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Share of a picture's power that its reconstruction misses.

    |F(x - mean)|^2 / |F(x)|^2 with the Fourier transform F, each summed over
    a band of spatial frequencies.

    Args:
        x: Pictures (B, 1, H, W).
        mean: Their reconstructions, of the same shape.

    Returns:
        The share below and above half of the highest frequency along an axis,
        (B,) each. The mean of a picture, frequency 0, is left out.
    """
    f = torch.fft.fftfreq(x.shape[-1], device=x.device).abs()
    f = torch.maximum(f[:, None], f)
    error, power = (torch.fft.fft2(v).abs().square() for v in (x - mean, x))
    bands = (f > 0) & (f < 0.25), f >= 0.25
    low, high = (
        (error * band).sum((1, 2, 3)) / (power * band).sum((1, 2, 3))
        for band in bands
    )
    return low, high


def evaluate(model: Any) -> Metrics:
    """The terms of the ELBO of all pictures, and what the means miss."""
    x = pictures()
    chunks = [model.parts(some) for some in x.split(1000)]
    metrics = {
        name: metric(torch.cat([getattr(parts, name) for parts in chunks]))
        for name in ("elbo", "reconstruction", "kl")
    }
    some = x[::7]  # a period that no factor has
    mean, _ = model.posterior.mean_and_log_std(model.encode(some))
    lost = lost_power(some.float(), model.decode(mean))
    for band, values in zip(("low", "high"), lost):
        name = f"power lost, {band} frequencies"
        metrics[name] = metric(values, "of 1")
    return metrics


def evaluate_full(model: Any) -> Metrics:
    """What the KL consists of, and how disentangled the means are."""
    codes = encode_all(model, pictures())
    torch.manual_seed(0)  # the same, whatever was measured before
    parts = decompose(codes, points=1000)
    metrics = {
        "information": metric(parts.information),
        "marginal kl": metric(parts.marginal_kl),
        "total correlation": metric(parts.total_correlation),
        "units alive": metric(alive(codes.mean).double(), "of 1"),
    }
    for name, values in all_scores(codes.mean, factors()).items():
        metrics[name] = metric(values, "of 1")
    return metrics


def _recipe(name: str, summary: str, loss: Loss, **changes: Any) -> Recipe:
    common: dict[str, Any] = {"versus": BASE, "ship": False}
    return Recipe(
        name=f"sprites_{name}",
        chapter=11,
        summary=summary,
        split="sprites, 32 x 32 pixels, 5 orientations, 16 x 16 positions",
        build=build,
        data=pictures,
        evaluate=evaluate,
        evaluate_full=evaluate_full,
        steps={"smoke": 3, "read": 500, "full": 5_000},
        options={"lr": 2e-3, "cosine": True, "batch_size": 128},
        loss=loss,
        seeds=tuple(range(5)),
        **(common | changes),
    )


RECIPES = [
    _recipe(
        "beta_1", "VAE, 10 latent dimensions", Objective(),
        versus=None, ship=True,
    ),
    _recipe("beta_4", "beta-VAE, beta = 4", Objective(beta=4), ship=True),
    _recipe("tcvae_4", "beta-TCVAE, beta = 4", TCObjective(23_040, beta=4)),
    _recipe("beta_2", "beta-VAE, beta = 2", Objective(beta=2)),
    _recipe("beta_8", "beta-VAE, beta = 8", Objective(beta=8)),
    _recipe("beta_16", "beta-VAE, beta = 16", Objective(beta=16)),
]  # fmt: skip
