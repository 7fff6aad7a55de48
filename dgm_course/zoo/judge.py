"""From a trained model to its card: what it scores, and its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..history import History
from ..profile import current_profile
from .card import Card
from .measures import paired
from .recipe import Metrics, Recipe
from .recipe import recipe as recipe_of
from .store import HERE, as_stored, load, save_weights
from .store import card as card_of


def first_card(
    recipe: Recipe,
    out: Path,
    model: nn.Module,
    data: Any,
    seed: int,
    history: History,
) -> Card:
    """Judge the model of the first seed; write its card and its weights."""
    metrics, sha256 = _judge(recipe, model), ""
    if recipe.ship:  # beside the card: one without the other cannot be read
        path = out / "weights" / f"{recipe.name}.safetensors"
        sha256 = save_weights(model, path)
    card = Card(
        recipe=recipe.name,
        profile=current_profile(),
        data=f"{recipe.split}{_rows(data)}",
        device=history.device,
        seconds=round(history.seconds, 1),
        steps=history.steps,
        stopped=history.stopped,
        parameters=sum(p.numel() for p in model.parameters()),
        seed=seed,
        torch=torch.__version__,
        metrics=metrics,
        history=history,
        sha256=sha256,
    )
    card.write(out / "cards" / f"{recipe.name}.json")
    return card


def with_another_seed(
    recipe: Recipe, out: Path, model: nn.Module, card: Card, history: History
) -> Card:
    """Add the scores of one more seed, once its training is finished."""
    if history.stopped != "finished":
        return replace(card, stopped=history.stopped)
    over = {
        name: [
            *card.over_seeds.get(name, [card.metrics[name].mean]),
            metric.mean,
        ]
        for name, metric in _judge(recipe, model).items()
    }
    found = card.metrics | _above(recipe, out, card.metrics, over)
    card = replace(card, metrics=found, over_seeds=over)
    card.write(out / "cards" / f"{recipe.name}.json")
    return card


def evaluate(name: str, folder: Path = HERE) -> Card:
    """Judge a trained model anew, and write the metrics into its card.

    For a recipe whose metrics have changed since its model was trained. What
    needs the full data sets is computed where the card is of the profile
    ``full``, as in training.

    Args:
        name: Name of the recipe.
        folder: Folder with ``cards/`` and ``weights/``.

    Returns:
        The card that was written; all but its metrics is as it was.

    Raises:
        FileNotFoundError: If the model was not trained, or its weights are
            not kept.
        ValueError: If card and weights do not belong together.
    """
    card, model = card_of(name, folder), load(name, folder)
    full = card.profile == "full"
    metrics = measure(recipe_of(name), model, full)
    # the weights of other seeds are not kept: no new metric of theirs
    over = {k: v for k, v in card.over_seeds.items() if k in metrics}
    metrics |= _above(recipe_of(name), folder, metrics, over)
    card = replace(card, metrics=metrics, over_seeds=over)
    card.write(folder / "cards" / f"{name}.json")
    return card


@torch.no_grad()
def measure(recipe: Recipe, model: torch.nn.Module, full: bool) -> Metrics:
    """Judge a model, with fixed noise.

    Args:
        recipe: Says how.
        model: A trained model.
        full: Also compute what needs full data sets.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        metrics = {} if recipe.evaluate is None else recipe.evaluate(model)
        if full and recipe.evaluate_full is not None:
            metrics |= recipe.evaluate_full(model)
    return metrics


def _judge(recipe: Recipe, model: Any) -> Metrics:
    model.cpu().eval()
    if recipe.ship:
        model.load_state_dict(as_stored(model))
    return measure(recipe, model, current_profile() == "full")


def _above(
    recipe: Recipe,
    folder: Path,
    metrics: Metrics,
    over: dict[str, list[float]],
) -> Metrics:
    """How much each metric is above that of ``recipe.versus``, over seeds.

    The standard error is that of the differences between models of the same
    seed. Where the other card, or one of its seeds, is not there, nothing is
    said.
    """
    other = recipe.versus
    if other is None or not (folder / "cards" / f"{other}.json").exists():
        return {}
    theirs, found = card_of(other, folder).over_seeds, {}
    for name, values in over.items():
        before = theirs.get(name, [])[: len(values)]
        if len(before) == len(values):
            found[f"{name}, less that of {other}, over seeds"] = paired(
                torch.tensor(values), torch.tensor(before), metrics[name].unit
            )
    return found


def _rows(data: Any) -> str:
    if data is None:
        return ""
    first = data if isinstance(data, torch.Tensor) else data[0]
    return f", {len(first):,} rows"
