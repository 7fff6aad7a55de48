"""From a recipe to a card with weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ..profile import current_profile
from ..training import fit
from .card import Card
from .recipe import Metrics, Recipe
from .recipe import recipe as recipe_of
from .store import HERE, as_stored, load, save_weights
from .store import card as card_of


def train(
    recipe: Recipe,
    out: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    device: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Card:
    """Train a recipe in the current profile; write its card and weights.

    ``out/checkpoints/NAME.PROFILE.pt`` holds the state of the run: stopped by
    Ctrl-C, a budget or a crash, it goes on there with ``resume``. The metrics
    are those of the weights as they are stored, rounded to float16.

    Args:
        recipe: What to train.
        out: Folder for ``cards/``, ``weights/`` and ``checkpoints/``.
        minutes: Budget of this call; None means until the recipe's last step.
        resume: Go on from the checkpoint, if there is one.
        device: As in :func:`dgm_course.training.fit`.
        seed: Fixes weights, batches and noise.
        progress: Show a progress bar.

    Returns:
        The card that was written.
    """
    profile = current_profile()
    torch.manual_seed(seed)
    model, data = recipe.build(), recipe.data()
    history = fit(
        model,
        data,
        recipe.loss,
        steps=recipe.steps[profile],
        minutes=minutes,
        checkpoint=out / "checkpoints" / f"{recipe.name}.{profile}.pt",
        resume=resume,
        device=device,
        seed=seed,
        progress=progress,
        **recipe.options,
    )
    model.cpu().eval()
    if recipe.ship:
        model.load_state_dict(as_stored(model))
    metrics, sha256 = measure(recipe, model, profile == "full"), ""
    if recipe.ship:  # beside the card: one without the other cannot be read
        path = out / "weights" / f"{recipe.name}.safetensors"
        sha256 = save_weights(model, path)
    card = Card(
        recipe=recipe.name,
        profile=profile,
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
    card = replace(card, metrics=metrics)
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
        metrics = recipe.evaluate(model)
        if full and recipe.evaluate_full is not None:
            metrics |= recipe.evaluate_full(model)
    return metrics


def _rows(data) -> str:
    if data is None:
        return ""
    first = data if isinstance(data, torch.Tensor) else data[0]
    return f", {len(first):,} rows"
