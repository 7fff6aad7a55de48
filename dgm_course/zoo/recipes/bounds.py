"""Chapter 7: rows of Table 1 whose number is a bound of the likelihood."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ... import data
from ...dequantization import Dequantized
from ...flows import realnvp_pictures, tarflow
from ...vae import IAFVAE, Objective
from ..recipe import Recipe
from .pictures import GREY, evaluate, images, judge, model, small_glow


def dequantized_tarflow() -> nn.Module:
    """Eight maps of 49 patches under uniform noise."""
    return Dequantized(tarflow(GREY, flows=8, layers=1))


def iaf_vae() -> nn.Module:
    """Two layers of 4 latent pictures 14x14, and two of 7x7."""
    return IAFVAE(GREY)


# as many pictures as Flow++ of chapter 2 has seen
OPTIONS = {
    "lr": 5e-3,
    "warmup": 50,
    "cosine": True,
    "clip": 1000.0,
    "batch_size": 16,
}
COMMON: dict[str, Any] = {
    "chapter": 7,
    "data": partial(images, data.fashion_mnist),
    "evaluate": partial(evaluate, data.fashion_mnist, "1,000", ""),
    "evaluate_full": partial(judge, data.fashion_mnist, "test", True, ""),
    "steps": {"smoke": 5, "read": 50, "full": 800},
    "options": OPTIONS,
}
RECIPES = [
    # of chapter 2, with as many parameters and pictures as the other rows
    Recipe(
        name="fashion_realnvp_row",
        summary="RealNVP, two scales of 76 channels",
        split="Fashion-MNIST train, uniform dequantization",
        build=partial(
            model, partial(realnvp_pictures, scales=2, hidden=76), GREY, False
        ),
        **COMMON | {"options": OPTIONS | {"bf16": True}},
    ),
    Recipe(
        name="fashion_glow_row",
        summary="Glow, two levels of 4 steps",
        split="Fashion-MNIST train, uniform dequantization",
        build=partial(model, small_glow, GREY, False),
        **COMMON | {"options": OPTIONS | {"bf16": True}},
    ),
    Recipe(
        name="fashion_tarflow",
        summary="TarFlow, 8 transformers over patches of 4x4",
        split="Fashion-MNIST train, uniform dequantization",
        build=dequantized_tarflow,
        **COMMON,
    ),
    Recipe(
        name="fashion_iaf_vae",
        summary="IAF-VAE, 4 layers of latent pictures, free bits",
        split="Fashion-MNIST train",
        build=iaf_vae,
        loss=Objective(free_bits=0.25),
        **COMMON,
    ),
]
