"""Cards and weights on disk, verified when they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..files import atomic_write
from .card import Card
from .recipe import names, recipe

HERE = Path(__file__).parent


def card(name: str, folder: str | Path = HERE) -> Card:
    """Return the card of a trained model.

    Args:
        name: Name of the recipe.
        folder: Folder with ``cards/`` and ``weights/``; the zoo that ships
            with the package by default.

    Raises:
        ValueError: If there is no such recipe, or the card is damaged or of
            another model.
        FileNotFoundError: If the model was not trained.
    """
    recipe(name)
    path = Path(folder) / "cards" / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there: {name} was not trained yet; run "
            f"`dgm train {name} --profile full --out {folder}`"
        )
    found = Card.read(path)
    if found.recipe != name:
        raise ValueError(
            f"{path} is the card of {found.recipe}; restore that of {name}, "
            "or train it again"
        )
    return found


def load(name: str, folder: str | Path = HERE) -> nn.Module:
    """Return a trained model in evaluation mode, in float32 on the CPU.

    The weights are stored in float16; the metrics of the card are those of
    these rounded weights.

    Raises:
        ValueError: If the weights are not those of the card, or not finite.
        FileNotFoundError: If the card ships without weights.
    """
    from safetensors.torch import load as parse

    expected = card(name, folder).sha256
    path = Path(folder) / "weights" / f"{name}.safetensors"
    again = f"`dgm train {name} --profile full --out {folder}` makes it anew"
    if not expected or not path.exists():
        raise FileNotFoundError(
            f"{path} is not there: the card of {name} stands without weights; "
            f"{again}"
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} ({len(data)} bytes) has the SHA-256 {found[:12]}..., its "
            f"card says {expected[:12]}...: it was truncated or altered. "
            f"Restore it from the repository; {again}"
        )
    state = {k: _widen(v) for k, v in parse(data).items()}
    bad = [k for k, v in state.items() if not v.isfinite().all()]
    if bad:
        raise ValueError(
            f"{path} holds weights that are not finite ({', '.join(bad[:3])}): "
            f"its training went wrong; {again}"
        )
    model = recipe(name).build()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit what the recipe {name!r} builds: the recipe "
            f"was changed since; {again} ({error})"
        ) from error
    return model.eval()


def save_weights(model: nn.Module, path: Path) -> str:
    """Write the weights in float16, atomically, and return their SHA-256.

    Raises:
        ValueError: If a weight does not fit into float16.
    """
    from safetensors.torch import save

    state = {k: _narrow(k, v) for k, v in model.state_dict().items()}
    data = save(state)
    with atomic_write(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def as_stored(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights as :func:`load` finds them: rounded, in shape."""
    state = model.state_dict()
    return {name: _widen(_narrow(name, value)) for name, value in state.items()}


def results(folder: str | Path = HERE) -> list[tuple[str, Card]]:
    """Return name and card of every trained model, chapter by chapter."""
    cards = Path(folder) / "cards"
    trained = [n for n in names() if (cards / f"{n}.json").exists()]
    return [(name, card(name, folder)) for name in trained]


def published(table: str) -> dict[str, Any]:
    """Return a table of published numbers, with its source and unit.

    Args:
        table: A name in ``published.json``, such as "image_likelihoods".

    Raises:
        ValueError: If there is no such table.
    """
    text = (HERE / "published.json").read_text(encoding="utf-8")
    tables = json.loads(text)
    if table not in tables:
        raise ValueError(
            f"there is no published table {table!r}; there are "
            f"{', '.join(tables)}"
        )
    return tables[table]


def _narrow(name: str, value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    half = value.to(torch.float16)
    if not half.isfinite().all():
        raise ValueError(
            f"{name} holds values up to {value.abs().max():.3g}, beyond "
            "float16; a weight of this size means that training went wrong"
        )
    return half


def _widen(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
