"""Chapter 3: ResNet, RevNet and i-RevNet as classifiers of pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import data
from ...data import Images
from ...reversible import IRevNet, ResNet, RevNet
from ..measures import each, metric
from ..recipe import Metrics, Recipe

Set = Callable[..., Images]


def scaled(pixels: Tensor) -> Tensor:
    """Bytes to numbers in [-1, 1]."""
    return pixels / 127.5 - 1


def loss(model: nn.Module, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
    """Cross-entropy in nats, (B,)."""
    pixels, labels = batch
    return cross_entropy(model(scaled(pixels)), labels)


def augmented_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor], step: int
) -> Tensor:
    """The same on pictures that are shifted and mirrored at random.

    By at most 4 pixels, as He et al. (2016) and Gomez et al. (2017) do.
    """
    pixels, labels = batch
    b, _, height, width = pixels.shape
    draw = partial(torch.randint, device=pixels.device)
    row = torch.arange(height, device=pixels.device) + draw(9, (b, 1))
    column = torch.arange(width, device=pixels.device) + draw(9, (b, 1))
    mirrored = draw(2, (b, 1)) > 0
    column = torch.where(mirrored, column.flip(1), column)
    padded = F.pad(pixels, (4, 4, 4, 4)).movedim(1, -1)
    which = torch.arange(b, device=pixels.device)[:, None, None]
    moved = padded[which, row[:, :, None], column[:, None, :]]
    return loss(model, (moved.movedim(-1, 1), labels), step)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p(label | x) in nats: (B, classes) and (B,) to (B,)."""
    # a logit in bfloat16 has three digits
    return F.cross_entropy(logits.float(), labels, reduction="none")


def judge(pictures: Set, where: str, full: bool, model: Any) -> Metrics:
    """Share of wrong answers, and the cross-entropy, on test pictures."""
    pixels, labels = pictures("test", full=full)
    logits = each(lambda some: model(scaled(some)), pixels, 500)
    wrong = 100.0 * (logits.argmax(1) != labels)
    return {
        f"error, {where}": metric(wrong, "%"),
        f"cross-entropy, {where}": metric(cross_entropy(logits, labels)),
    }


def _recipe(
    name: str, summary: str, build: Callable[[], nn.Module], **changes: Any
) -> Recipe:
    clothes: Set = data.fashion_mnist
    common: dict[str, Any] = {
        "split": "Fashion-MNIST train",
        "data": data.fashion_mnist,
        "evaluate": partial(judge, clothes, "test, bundled 1,000", False),
        "evaluate_full": partial(judge, clothes, "test", True),
        "steps": {"smoke": 5, "read": 150, "full": 1_000},
        "loss": loss,
    }
    return Recipe(
        name=name,
        chapter=3,
        summary=summary,
        build=build,
        options={
            "lr": 3e-3,
            "warmup": 100,
            "cosine": True,
            "batch_size": 125,
            "bf16": True,
        },
        **(common | changes),
    )


PHOTOGRAPHS: dict[str, Any] = {
    "split": "CIFAR-10 train, shifted and mirrored",
    "data": data.cifar10,
    "evaluate": None,
    "evaluate_full": partial(judge, data.cifar10, "test", True),
    "steps": {"smoke": 5, "read": 150, "full": 64_000},
    "loss": augmented_loss,
    "ship": False,
}
RECIPES = [
    # as many parameters as the RevNet below
    _recipe(
        "fashion_resnet",
        "ResNet with 20 layers",
        partial(ResNet, (3, 3, 3), (8, 16, 32), channels=1),
    ),
    _recipe(
        "fashion_revnet",
        "RevNet with 26 layers",
        partial(RevNet, (2, 2, 2), (16, 30, 52), channels=1),
    ),
    _recipe(
        "fashion_irevnet",
        "i-RevNet, bijective, 10 half steps",
        partial(IRevNet, (1, 28, 28), (4, 6), (24, 48)),
    ),
    _recipe(
        "cifar10_resnet",
        "ResNet-32 of the papers",
        partial(ResNet.of_depth, 32),
        **PHOTOGRAPHS,
    ),
    _recipe(
        "cifar10_revnet",
        "RevNet-38 of the papers",
        partial(RevNet.of_depth, 38),
        **PHOTOGRAPHS,
    ),
]
