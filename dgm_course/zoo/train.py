"""From a recipe to a card with weights."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..devices import from_first, lost_processes_explained
from ..files import alone
from ..history import History
from ..profile import current_profile
from ..training import fit
from .card import Card
from .measures import paired
from .recipe import Metrics, Recipe, all_recipes
from .recipe import recipe as recipe_of
from .store import HERE, as_stored, load, results, save_weights
from .store import card as card_of


def train(
    recipe: Recipe,
    out: Path,
    *,
    minutes: float | None = None,
    resume: bool = False,
    device: str | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Card:
    """Train a recipe in the current profile; write its card and weights.

    ``out/checkpoints/NAME.PROFILE.pt`` holds the state of the run: stopped by
    Ctrl-C, a budget or a crash, it goes on there with ``resume``. The metrics
    are those of the weights as they are stored, rounded to float16.

    Under torchrun the first process judges and writes, the others wait; the
    run may be resumed by another number of processes.

    Args:
        recipe: What to train.
        out: Folder for ``cards/``, ``weights/`` and ``checkpoints/``.
        minutes: Budget of this call; None means until the recipe's last step.
        resume: Go on from the checkpoint, if there is one.
        device: As in :func:`dgm_course.training.fit`.
        seed: Fixes weights, batches and noise; None takes all seeds of the
            recipe, one after the other.
        progress: Show a progress bar.

    Returns:
        The card that was written.
    """
    with alone(out / "checkpoints" / f"{recipe.name}.lock"):
        return _train(recipe, out, minutes, resume, device, seed, progress)


def _train(
    recipe: Recipe,
    out: Path,
    minutes: float | None,
    resume: bool,
    device: str | None,
    seed: int | None,
    progress: bool,
) -> Card:
    profile, began = current_profile(), time.monotonic()
    card: Card | None = None
    for number in recipe.seeds if seed is None else (seed,):
        left = minutes
        if minutes is not None and card is not None:
            left = max(0.0, minutes - (time.monotonic() - began) / 60)
        more = "" if card is None else f".seed{number}"
        name = f"{recipe.name}.{profile}{more}.pt"
        checkpoint = out / "checkpoints" / name
        torch.manual_seed(number)
        model, data = recipe.build(), recipe.data()
        history = fit(
            model,
            data,
            recipe.loss,
            steps=recipe.steps[profile],
            minutes=left,
            checkpoint=checkpoint,
            resume=resume,
            device=device,
            seed=number,
            progress=progress,
            **recipe.options,
        )
        if card is None:
            write = partial(_first_card, recipe, out, model, data, number)
        else:
            write = partial(_with_another_seed, recipe, out, model, card)
        with lost_processes_explained(checkpoint):
            card = from_first(partial(write, history))
        if history.stopped != "finished":
            break
    if card is None:
        raise ValueError(f"the recipe {recipe.name!r} names no seed")
    return card


def train_all(
    out: Path,
    minutes: float,
    device: str | None = None,
    among: Iterable[Recipe] | None = None,
) -> Iterator[tuple[Recipe, Card | Exception]]:
    """Train every recipe in the current profile, in slices.

    Each unfinished recipe gets a slice, those first that the package's zoo has
    no card of, then chapter by chapter; then all that are left get another.
    What is finished in ``out`` is left alone: the same call goes on where one
    was stopped.

    Args:
        out: As in :func:`train`.
        minutes: Length of a slice.
        device: As in :func:`train`.
        among: Train these alone; None for all.

    Yields:
        The recipe with its card after each slice, or with the error that
        keeps it from being trained; the others go on.

    Raises:
        ValueError: If a slice has no length.
    """
    if not minutes > 0:
        raise ValueError(f"minutes = {minutes}: a slice has a length above 0")
    here = {name for name, _ in results()}
    chosen = all_recipes().values() if among is None else among
    left = sorted(chosen, key=lambda r: r.name in here)
    left = [recipe for recipe in left if not _is_finished(recipe, out)]
    while left:
        again = []
        for recipe in left:
            try:
                card = train(
                    recipe, out, minutes=minutes, resume=True, device=device
                )
            except (ArithmeticError, OSError, ValueError) as error:
                yield recipe, error
                continue
            yield recipe, card
            if card.stopped == "interrupted":
                return
            if not _is_finished(recipe, out):
                again.append(recipe)
        left = again


def _is_finished(recipe: Recipe, out: Path) -> bool:
    if not (out / "cards" / f"{recipe.name}.json").exists():
        return False
    card, profile = card_of(recipe.name, out), current_profile()
    seeds = {len(values) for values in card.over_seeds.values()} or {1}
    return (
        (card.profile, card.steps) == (profile, recipe.steps[profile])
        and card.stopped == "finished"
        and seeds == {len(recipe.seeds)}
    )


def _first_card(
    recipe: Recipe,
    out: Path,
    model: nn.Module,
    data: Any,
    seed: int,
    history: History,
) -> Card:
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


def _with_another_seed(
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


def _judge(recipe: Recipe, model: Any) -> Metrics:
    model.cpu().eval()
    if recipe.ship:
        model.load_state_dict(as_stored(model))
    return measure(recipe, model, current_profile() == "full")


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


def _rows(data: Any) -> str:
    if data is None:
        return ""
    first = data if isinstance(data, torch.Tensor) else data[0]
    return f", {len(first):,} rows"
