"""From a recipe to a trained model, and from all recipes to a zoo."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

from ..devices import from_first, lost_processes_explained
from ..files import alone
from ..profile import current_profile
from ..training import fit
from .card import Card
from .judge import first_card, with_another_seed
from .recipe import Recipe, all_recipes
from .store import card as card_of
from .store import results


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
            write = partial(first_card, recipe, out, model, data, number)
        else:
            write = partial(with_another_seed, recipe, out, model, card)
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
