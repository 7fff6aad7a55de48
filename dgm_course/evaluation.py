"""What a trained model scores, and what it draws: by one process or many.

Batches are dealt out to the processes that torchrun started. The noise of
each follows from the seed and its number alone, so that the result is the
same for any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .batches import Data, as_rows, take
from .devices import from_all, memory_errors_explained
from .finite import require_one_per_sample
from .history import Window
from .limits import at_least

Loss = Callable[[Any, Any, int], Tensor]


def default_loss(model: Any, batch: Any, step: int) -> Tensor:
    """``model.loss(batch)``, or else the negative ELBO or log-likelihood.

    A tuple, the batch of several tensors, becomes several arguments, as in
    ``model.log_prob(x, context)``.

    Raises:
        TypeError: If the model has none of the three.
    """
    parts = batch if isinstance(batch, tuple) else (batch,)
    for name, sign in (("loss", 1), ("elbo", -1), ("log_prob", -1)):
        if hasattr(model, name):
            return sign * getattr(model, name)(*parts)
    raise TypeError(
        f"{type(model).__name__} has no loss, elbo or log_prob; "
        "pass fit a function loss(model, batch, step) -> (B,)"
    )


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Data,
    loss: Loss | None = None,
    batch_size: int = 500,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the mean loss over all data, in nats, and its standard error.

    The noise is the same at each call (``seed``); the random state and the
    mode (train or eval) of the model are left as they were. Under torchrun
    all processes call this, share the work, and get the same numbers.

    Raises:
        ValueError: If the loss is not one value per sample, or the data or
            ``batch_size`` make no sense.
        MemoryError: If the device has too little for ``batch_size``.
    """
    at_least(1, batch_size=batch_size)
    device = _device(model)
    rows, window = as_rows(data, device), Window()

    def values(number: int) -> Tensor:
        torch.manual_seed(_noise(seed, number))
        low = number * batch_size
        batch = take(rows, slice(low, low + batch_size))
        found = (loss or default_loss)(model, batch, 0)
        require_one_per_sample(found)
        return found

    with _judged(model, device, batch_size):
        found = from_all(values, -(-len(rows[0]) // batch_size))
    window.add(torch.cat(found))  # in the order of the rows
    return window.mean_and_se()


@torch.no_grad()
def sample(
    model: Any, n: int, batch_size: int = 100, seed: int = 0, **options: Any
) -> Tensor:
    """Draw n samples in batches, (n, ...), on the device of the model.

    The samples are the same at each call (``seed``); the random state and the
    mode of the model are left as they were. Under torchrun all processes call
    this, share the work, and get the same samples.

    Args:
        model: A model with ``sample(n)``.
        n: Number of samples.
        batch_size: Samples that are drawn together; memory sets its limit.
        seed: Fixes the noise.
        **options: Handed on to ``model.sample``, such as ``temperature=0.7``.

    Raises:
        ValueError: If there is no sample to draw, or no batch.
        MemoryError: If the device has too little for ``batch_size``.
    """
    at_least(1, n=n, batch_size=batch_size)
    device = _device(model)

    def draw(number: int) -> Tensor:
        torch.manual_seed(_noise(seed, number))
        some = min(batch_size, n - number * batch_size)
        return model.sample(some, **options)

    with _judged(model, device, batch_size):
        return torch.cat(from_all(draw, -(-n // batch_size))).to(device)


@contextmanager
def _judged(
    model: nn.Module, device: torch.device, batch_size: int
) -> Iterator[None]:
    """Put a model into evaluation mode; leave mode and noise as they were."""
    mode, gpus = model.training, [device] if device.type == "cuda" else []
    advice = f"batch_size={batch_size}; give a smaller one"
    model.eval()
    try:
        with torch.random.fork_rng(gpus), memory_errors_explained(advice):
            yield
    finally:
        model.train(mode)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters(), torch.zeros(())).device


def _noise(seed: int, number: int) -> int:
    """Return the seed of a batch: unlike those of other seeds' batches."""
    return 1_000_003 * seed + number
