"""Chapter 7: autoregressive models of pictures, the exact rows of Table 1.

All rows see as many pictures as Flow++ of chapter 2, and have about as many
parameters; a number is the exact likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ... import data
from ...likelihoods import (
    Categorical,
    ColourLogistics,
    DiscretizedLogistics,
    Likelihood,
    bits_per_dim,
)
from ...pixel import (
    GatedPixelCNN,
    ImageTransformer,
    Multiscale,
    OrderedModel,
    PixelCNN,
    PixelCNNPP,
    PixelModel,
    PixelRNN,
    PixelSNAIL,
)
from ..measures import metric
from ..recipe import Metrics, Recipe
from .pictures import COLOUR, GREY, SETS, Set

Shape = tuple[int, int, int]
# net(colours, outputs) is one of the networks of dgm_course.pixel
Net = Callable[[int, int], nn.Module]
STEPS = 800
ROW_OPTIONS = {
    "lr": 5e-3,
    "warmup": 50,
    "cosine": True,
    "clip": 1000.0,
    "batch_size": 16,
    "bf16": True,
}


def softmax(colours: int) -> Likelihood:
    """256 levels, each with its own probability."""
    return Categorical(256)


def logistics(colours: int) -> Likelihood:
    """A mixture of 10 logistics for each value."""
    return DiscretizedLogistics()


def model(
    net: Net,
    likelihood: Callable[[int], Likelihood],
    shape: Shape,
    kind: type[PixelModel] = PixelModel,
) -> PixelModel:
    """A network with the outputs that a likelihood needs."""
    read_as = likelihood(shape[0])
    outputs = read_as.width(shape[0])
    return kind(net(shape[0], outputs), read_as, shape)


def rows(
    pictures: Set, labels: bool, split: str = "train", full: bool | None = None
) -> tuple[Tensor, ...]:
    """Pictures, uint8, with their classes where the model is given them."""
    found = pictures(split, full=full)
    return tuple(found) if labels else (found.images,)


def code_length(model: Any, given: tuple[Tensor, ...]) -> Tensor:
    """Bits per dimension of each picture, (n,)."""
    parts = zip(*(some.split(100) for some in given))
    nats = torch.cat([model.log_prob(*part) for part in parts])
    return bits_per_dim(nats, given[0][0].numel())


def evaluate(
    pictures: Set, labels: bool, where: str, full: bool, model: Any
) -> Metrics:
    """The exact code length of test pictures."""
    found = code_length(model, rows(pictures, labels, "test", full))
    return {f"log p, {where}": metric(found, "bits/dim")}


def row(
    name: str,
    summary: str,
    net: Net,
    likelihood: Callable[[int], Likelihood] = softmax,
    labels: bool = False,
    **changes: Any,
) -> Recipe:
    """A row of Table 1, on Fashion-MNIST.

    Args:
        name: Of the recipe, such as "fashion_pixelcnn".
        summary: See :class:`~dgm_course.zoo.Recipe`.
        net: ``net(colours, outputs)``, of about 250,000 parameters.
        likelihood: ``likelihood(colours)``.
        labels: Whether the model is given the class of a picture.
        changes: Other fields of the recipe.
    """
    pictures, title, bundled = SETS[name.partition("_")[0]]
    judge = partial(evaluate, pictures, labels)
    common: dict[str, Any] = {
        "split": f"{title} train{' with labels' * labels}",
        "build": partial(model, net, likelihood, GREY),
        "evaluate": partial(judge, f"test, bundled {bundled}", False),
        "steps": {"smoke": 2, "read": 20, "full": STEPS},
        "options": ROW_OPTIONS,
    }
    return Recipe(
        name=name,
        chapter=7,
        summary=summary,
        data=partial(rows, pictures, labels),
        **(common | changes),
    )


def photographs(name: str, summary: str, net: Net, likelihood: Any) -> Recipe:
    """The same model on CIFAR-10, as large as a GPU trains in a night."""
    return Recipe(
        name=f"cifar10_{name}",
        chapter=7,
        summary=summary,
        split="CIFAR-10 train",
        build=partial(model, net, likelihood, COLOUR),
        data=partial(rows, data.cifar10, False),
        evaluate=None,
        evaluate_full=partial(evaluate, data.cifar10, False, "test", True),
        steps={"smoke": 2, "read": 20, "full": 200_000},
        options={
            "lr": 4e-4,
            "warmup": 2_000,
            "batch_size": 64,
            "clip": 1000.0,
            "ema": 0.9995,
            "bf16": True,
        },
        ship=False,
    )


gated = partial(GatedPixelCNN, hidden=36, blocks=7)
RECIPES = [
    row(
        "fashion_pixelcnn",
        "PixelCNN, 8 blocks of 48 channels",
        partial(PixelCNN, hidden=48, last=128),
    ),
    row(
        "fashion_gated_pixelcnn",
        "Gated PixelCNN, 8 layers, given the class",
        partial(gated, classes=10),
        labels=True,
    ),
    row(
        "fashion_pixelcnnpp",
        "PixelCNN++, three resolutions, 10 logistics",
        # 12,800 pictures are not seen often enough to be learned by heart
        partial(PixelCNNPP, channels=22, dropout=0.0),
        ColourLogistics,
    ),
    row(
        "fashion_pixelsnail",
        "PixelSNAIL, 2 attentions, 10 logistics",
        PixelSNAIL,
        ColourLogistics,
    ),
    row(
        "fashion_image_transformer",
        "Image Transformer, 4 layers, blocks of 2 rows, 10 logistics",
        partial(ImageTransformer, query=56, memory=56),
        logistics,
        # attention is slower in bfloat16
        options=ROW_OPTIONS | {"bf16": False},
    ),
    row(
        "fashion_pixelrnn",
        "PixelRNN, 3 Row LSTMs of 48 channels",
        PixelRNN,
        # an LSTM adds to its cells many times
        options=ROW_OPTIONS | {"bf16": False},
    ),
    row(
        "fashion_multiscale_pixelcnn",
        "Multiscale PixelCNN, 16 steps",
        Multiscale,
        build=partial(model, Multiscale, softmax, GREY, OrderedModel),
    ),
    # as many parameters as the PixelCNN of Amsterdam's tutorial 12 has
    row(
        "mnist_pixelcnn",
        "PixelCNN, 15 blocks of 72 channels",
        partial(PixelCNN, hidden=72, blocks=15, last=128),
        steps={"smoke": 2, "read": 20, "full": 60_000},
        ship=False,
    ),
    photographs(
        "pixelcnn",
        "PixelCNN, 15 blocks of 128 channels",
        partial(PixelCNN, hidden=128, blocks=15, last=1024),
        softmax,
    ),
    photographs(
        "pixelcnnpp",
        "PixelCNN++ of the paper, 5 blocks of 160 channels",
        partial(PixelCNNPP, channels=160, blocks=5),
        ColourLogistics,
    ),
]
