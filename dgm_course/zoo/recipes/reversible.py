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
from ..measures import each, metric, paired
from ..recipe import Metrics, Recipe
from ..store import load

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


def scores(model: Any, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """100 for each wrong answer, and the cross-entropy, both (n,)."""
    logits = each(lambda some: model(scaled(some)), pixels, 500)
    return {
        "error": 100.0 * (logits.argmax(1) != labels),
        "cross-entropy": cross_entropy(logits, labels),
    }


def judge(
    pictures: Set, where: str, full: bool, rival: str, model: Any
) -> Metrics:
    """How wrong a model is on test pictures, and how much more than another."""
    pixels, labels = pictures("test", full=full)
    own, metrics = scores(model, pixels, labels), {}
    for name, values in own.items():
        metrics[f"{name}, {where}"] = metric(values, UNITS[name])
    if rival:
        theirs = scores(load(rival), pixels, labels)
        for name, values in own.items():
            more = paired(values, theirs[name], UNITS[name])
            metrics[f"{name} less that of {rival}, {where}"] = more
    return metrics


def _recipe(
    name: str,
    summary: str,
    build: Callable[[], nn.Module],
    rival: str = "",
    **changes: Any,
) -> Recipe:
    pictures, title, bundled = SETS[name.partition("_")[0]]
    here = f"test, bundled {bundled}"
    common: dict[str, Any] = {
        "split": f"{title} train",
        "evaluate": partial(judge, pictures, here, False, rival),
        "steps": {"smoke": 5, "read": 150, "full": 1_000},
        "loss": loss,
    }
    return Recipe(
        name=name,
        chapter=3,
        summary=summary,
        build=build,
        data=pictures,
        evaluate_full=partial(judge, pictures, "test", True, rival),
        options={
            "lr": 3e-3,
            "warmup": 100,
            "cosine": True,
            "batch_size": 125,
            "bf16": True,
        },
        **(common | changes),
    )


UNITS = {"error": "%", "cross-entropy": "nats"}
SETS: dict[str, tuple[Set, str, str]] = {
    "fashion": (data.fashion_mnist, "Fashion-MNIST", "1,000"),
    "mnist": (data.mnist, "MNIST", "2,000"),
    "cifar10": (data.cifar10, "CIFAR-10", "nothing"),
}
# as many parameters each, up to 1 percent
RESNET = "ResNet with 20 layers", partial(ResNet, (3, 3, 3), (8, 16, 32))
REVNET = "RevNet with 26 layers", partial(RevNet, (2, 2, 2), (16, 30, 52))
HALF_STEPS = partial(IRevNet, (1, 28, 28), (4, 6), (24, 48))
BIJECTIVE = "i-RevNet, bijective, 10 half steps", HALF_STEPS
# as many zeros as there are numbers: 8 channels behind the first squeeze
INJECTIVE = (
    "i-RevNet, injective, 10 half steps",
    partial(HALF_STEPS, padding=4),
)
GREY = {"channels": 1}
RECIPES = [
    _recipe("fashion_resnet", RESNET[0], partial(RESNET[1], **GREY)),
    _recipe(
        "fashion_revnet",
        REVNET[0],
        partial(REVNET[1], **GREY),
        rival="fashion_resnet",
    ),
    _recipe("fashion_irevnet", *BIJECTIVE),
    _recipe("fashion_irevnet_injective", *INJECTIVE, rival="fashion_irevnet"),
    _recipe("mnist_resnet", RESNET[0], partial(RESNET[1], **GREY)),
    _recipe(
        "mnist_revnet",
        REVNET[0],
        partial(REVNET[1], **GREY),
        rival="mnist_resnet",
    ),
    _recipe("mnist_irevnet", *BIJECTIVE, ship=False),
    _recipe("mnist_irevnet_injective", *INJECTIVE, ship=False),
]
PHOTOGRAPHS: dict[str, Any] = {
    "split": "CIFAR-10 train, shifted and mirrored",
    "evaluate": None,
    "loss": augmented_loss,
}
# what one core of a CPU trains in half an hour: 15 times each photograph
PASSES = PHOTOGRAPHS | {"steps": {"smoke": 5, "read": 150, "full": 6_000}}
# as long as the papers did
PAPERS = PHOTOGRAPHS | {
    "steps": {"smoke": 5, "read": 150, "full": 64_000},
    "ship": False,
}
RECIPES += [
    _recipe("cifar10_resnet_20", *RESNET, **PASSES),
    _recipe("cifar10_revnet_26", *REVNET, rival="cifar10_resnet_20", **PASSES),
    _recipe(
        "cifar10_resnet",
        "ResNet-32 of the papers",
        partial(ResNet.of_depth, 32),
        **PAPERS,
    ),
    _recipe(
        "cifar10_revnet",
        "RevNet-38 of the papers",
        partial(RevNet.of_depth, 38),
        **PAPERS,
    ),
]
