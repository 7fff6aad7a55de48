"""Small models of pictures; each further one is one line of MODELS."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_course.likelihoods import (
    Categorical,
    ColourLogistics,
    DiscretizedLogistics,
)
from dgm_course.pixel import (
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

from . import randomize


def categorical(net, **options):
    """A model with a softmax over levels: net(colours, outputs, ...)."""

    def build(shape, levels):
        likelihood = Categorical(levels)
        outputs = likelihood.width(shape[0])
        return PixelModel(net(shape[0], outputs, **options), likelihood, shape)

    return build


def logistics(net, **options):
    """A model with independent mixtures of two logistics."""

    def build(shape, levels):
        likelihood = DiscretizedLogistics(levels, 2)
        outputs = likelihood.width(shape[0])
        return PixelModel(net(shape[0], outputs, **options), likelihood, shape)

    return build


def colours(net, **options):
    """A model with mixtures of two logistics over whole pixels."""

    def build(shape, levels):
        likelihood = ColourLogistics(shape[0], levels, 2)
        outputs = likelihood.width(shape[0])
        return PixelModel(net(shape[0], outputs, **options), likelihood, shape)

    return build


def ordered(net, **options):
    """A model with a softmax over levels, and an order of its own."""

    def build(shape, levels):
        likelihood = Categorical(levels)
        outputs = likelihood.width(shape[0])
        return OrderedModel(
            net(shape[0], outputs, **options), likelihood, shape
        )

    return build


@dataclass(frozen=True)
class Pixel:
    """How to build a model, and what holds for it.

    Attributes:
        build: ``build(shape, levels)`` returns the model.
        blind: Not all that may be seen is seen.
        classes: Number of labels; 0 for no context.
        shape: Of the pictures in which sight is tested.
        std: Of the random weights.
    """

    build: Callable[..., PixelModel]
    blind: bool = False
    classes: int = 0
    shape: tuple[int, int, int] = (2, 4, 4)
    std: float = 0.5

    def draw(self, shape=None, levels=5):
        """A random model in float64."""
        torch.manual_seed(0)
        model = self.build(shape or self.shape, levels)
        return randomize(model, self.std).double().eval()

    def context(self, n, seed=0):
        """Random labels, (n,), or None."""
        if not self.classes:
            return None
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(self.classes, (n,), generator=generator)


TRANSFORMER = {"width": 8, "layers": 2, "heads": 2}
SMALL = {"hidden": 4, "blocks": 2, "last": 8}
MODELS = {
    "PixelCNN": Pixel(categorical(PixelCNN, first=3, **SMALL), blind=True),
    "PixelCNN, wide": Pixel(categorical(PixelCNN, first=7, **SMALL)),
    "PixelCNN, logistics": Pixel(logistics(PixelCNN, first=7, **SMALL)),
    "Gated PixelCNN": Pixel(categorical(GatedPixelCNN, first=3, **SMALL)),
    "Gated PixelCNN, given a label": Pixel(
        categorical(GatedPixelCNN, first=5, classes=3, **SMALL), classes=3
    ),
    "PixelCNN++": Pixel(colours(PixelCNNPP, channels=3, blocks=1, depth=2)),
    "Image Transformer, 1-D": Pixel(
        categorical(ImageTransformer, query=3, memory=13, **TRANSFORMER)
    ),
    "Image Transformer, 1-D, short": Pixel(
        categorical(ImageTransformer, query=3, memory=2, **TRANSFORMER),
        blind=True,
    ),
    "Image Transformer, 2-D": Pixel(
        ordered(ImageTransformer, query=(2, 3), memory=(2, 3), **TRANSFORMER)
    ),
    "PixelSNAIL": Pixel(
        colours(PixelSNAIL, channels=4, keys=3, blocks=2, residuals=1)
    ),
    "Multiscale PixelCNN": Pixel(
        ordered(Multiscale, channels=(3, 3), width=4, blocks=1),
        blind=True,  # to other places of the same step, in an earlier colour
    ),
    "PixelRNN, rows": Pixel(
        categorical(PixelRNN, hidden=4, layers=2, first=3),
        blind=True,
    ),
    "PixelRNN, diagonals": Pixel(
        categorical(PixelRNN, hidden=4, layers=1, kind="diagonal", first=3)
    ),
}


def sight(model, context=None, pictures=6):
    """How strongly each conditional depends on each sub-pixel.

    Returns:
        (C, H, W, C, H, W): of the conditional, then of the sub-pixel; summed
        over some pictures, as a ReLU may be dead for one. For a joint
        likelihood all conditionals of a pixel are one.
    """
    shape = model.shape
    y = torch.randn(pictures, *shape, dtype=torch.float64, requires_grad=True)
    found = model.conditionals(y, context)
    if model.likelihood.joint:
        found = found[:, :, None].expand(-1, -1, shape[0], -1, -1)
    else:
        found = found.unflatten(1, (-1, shape[0]))
    rows = []
    for place in itertools.product(*map(range, shape)):
        total = 0.0
        # one parameter after the other: their gradients may cancel
        for one in found[(slice(None), slice(None), *place)].unbind(1):
            (slope,) = torch.autograd.grad(one.sum(), y, retain_graph=True)
            total = total + slope.abs().sum(0)
        rows.append(total)
    return torch.stack(rows).view(*shape, *shape)
