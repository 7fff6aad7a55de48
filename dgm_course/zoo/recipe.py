"""How a model of the zoo is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from torch import nn

from ..batches import Data
from ..evaluation import Loss
from .card import Metric

Metrics = dict[str, Metric]


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, how, and how it is judged.

    Attributes:
        name: Name of the model, its card and its weights.
        chapter: Chapter that uses it.
        summary: The model in a few words.
        split: The data in a few words.
        build: Returns the untrained model, from torch's global seed.
        data: Returns the training data; the profile decides how much.
        evaluate: ``evaluate(model)`` returns metrics on what the package
            bundles, so that a card can be recomputed anywhere; None where it
            bundles nothing.
        steps: Updates per profile.
        options: Further arguments of :func:`dgm_course.training.fit`.
        loss: Loss of ``fit``; None for the model's own.
        evaluate_full: Further metrics on full data sets, computed in the
            profile ``full`` only.
        ship: False for a model whose weights are too large: its card alone
            is kept.
        seeds: Seeds of weights, batches and noise. The first one's model is
            kept; the card carries the scores of all.
        versus: Name of a recipe that was trained before, with the same seeds:
            the card also carries how much each metric is above that recipe's,
            seed by seed.
    """

    name: str
    chapter: int
    summary: str
    split: str
    build: Callable[[], nn.Module]
    data: Callable[[], Data | None]
    evaluate: Callable[[Any], Metrics] | None
    steps: dict[str, int]
    options: dict[str, Any] = field(default_factory=dict)
    loss: Loss | None = None
    evaluate_full: Callable[[Any], Metrics] | None = None
    ship: bool = True
    seeds: tuple[int, ...] = (0,)
    versus: str | None = None


@cache
def all_recipes() -> dict[str, Recipe]:
    """Return all recipes by name, in the order of the chapters."""
    from . import recipes

    found = [
        recipe
        for module in iter_modules(recipes.__path__)
        for recipe in import_module(f"{recipes.__name__}.{module.name}").RECIPES
    ]
    found.sort(key=lambda recipe: recipe.chapter)
    by_name = {recipe.name: recipe for recipe in found}
    assert len(by_name) == len(found), "two recipes have the same name"
    return by_name


def names(chapter: int | None = None) -> list[str]:
    """Return the names of all recipes, or of those of a chapter."""
    return [
        recipe.name
        for recipe in all_recipes().values()
        if chapter is None or recipe.chapter == chapter
    ]


def recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        ValueError: If there is none, with the names that come close.
    """
    if name not in all_recipes():
        close = difflib.get_close_matches(name, names(), n=3) or names()
        raise ValueError(
            f"the zoo has no recipe {name!r}; did you mean "
            f"{' or '.join(map(repr, close))}? `dgm results` lists all"
        )
    return all_recipes()[name]
