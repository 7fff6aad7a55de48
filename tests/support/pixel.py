"""Small models of pictures; each further one is one line of MODELS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_course.likelihoods import Categorical, DiscretizedLogistics
from dgm_course.pixel import PixelCNN, PixelModel

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
    std: float = 0.3

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


SMALL = {"hidden": 4, "blocks": 2, "last": 4}
MODELS = {
    "PixelCNN": Pixel(categorical(PixelCNN, first=3, **SMALL), blind=True),
    "PixelCNN, wide": Pixel(categorical(PixelCNN, first=7, **SMALL)),
    "PixelCNN, logistics": Pixel(logistics(PixelCNN, first=7, **SMALL)),
}
