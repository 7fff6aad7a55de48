"""One training loop for every model of the course."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .batches import Batches, Data, NoBatches, as_rows, take
from .checkpoint import TrainingState
from .devices import describe, pick_device, processes_or_device
from .history import History, Window

__all__ = ["NonFiniteLoss", "default_loss", "evaluate", "fit", "pick_device"]

Loss = Callable[[Any, Any, int], Tensor]


class NonFiniteLoss(ArithmeticError):
    """The loss or its gradient became NaN or infinite."""


def default_loss(model: Any, batch: Any, step: int) -> Tensor:
    """``model.loss(batch)``, or else the negative ELBO or log-likelihood."""
    for name, sign in (("loss", 1), ("elbo", -1), ("log_prob", -1)):
        if hasattr(model, name):
            return sign * getattr(model, name)(batch)
    raise TypeError(
        f"{type(model).__name__} has no loss, elbo or log_prob; "
        "pass fit a function loss(model, batch, step) -> (B,)"
    )


def fit(
    model: nn.Module,
    data: Data | None,
    loss: Loss | None = None,
    *,
    steps: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    warmup: int = 0,
    cosine: bool = False,
    clip: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
    bf16: bool = False,
    validation: Data | None = None,
    evaluate_every: int | None = None,
    minutes: float | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a model in place with Adam and return the history of its loss.

    Started by ``torchrun``, every process works on its share of each batch
    (this needs the accelerate library); otherwise one device does it all.

    Args:
        model: Any module; it is moved to the device.
        data: A tensor, or several of equal length, whose rows are drawn
            without replacement in each epoch. It moves to the device once, in
            its own dtype (uint8 pixels stay uint8). None for a loss that
            draws its own samples, as in reverse-KL training.
        loss: ``loss(model, batch, step)`` returns one value per sample in
            nats, (B,); see :func:`default_loss` for None.
        steps: Number of updates.
        batch_size: Samples per update, over all processes.
        lr: Learning rate of Adam.
        warmup: Steps in which the learning rate grows linearly from 0.
        cosine: Let the learning rate fall to 0 at the end, as a half cosine.
        clip: Largest norm of the gradient; None leaves it alone.
        accumulate: Parts into which a batch is cut to save memory.
        ema: Decay of an exponential moving average of the weights; at the
            end the model holds the average.
        bf16: Compute the loss under bfloat16 autocast.
        validation: Held-out data, evaluated every ``evaluate_every`` steps.
        evaluate_every: See ``validation``; None means at the end only.
        minutes: Stop after this time, whatever the step.
        checkpoint: File that is written atomically every minute and at the
            end.
        resume: Go on from ``checkpoint`` if it is there. On a CPU the result
            equals that of an uninterrupted run bit for bit.
        device: "cpu", "cuda", ...; None takes the best there is.
        seed: Fixes the order of the data and the noise of the loss.
        progress: Show a progress bar.

    Returns:
        The history. Ctrl-C ends training after the current step, keeps what
        was learned, and writes the checkpoint; a second Ctrl-C is immediate.

    Raises:
        NonFiniteLoss: Naming step, epoch and batch, before the bad update.
        ValueError: If the data or the shape of the loss make no sense, or
            the checkpoint does not fit the model.
    """
    run = processes_or_device(device)
    batches: Batches | NoBatches = NoBatches()
    if data is not None:
        batches = Batches(
            data, batch_size, seed, run.device, run.rank, run.processes
        )
    model.to(run.device).train()
    torch.manual_seed(seed + run.rank)
    state = TrainingState(model, lr, ema, describe(run.device))
    if resume and checkpoint is not None and Path(checkpoint).exists():
        state.load(checkpoint)
    wrapped = run.prepare(_Step(model, loss or default_loss))
    history, window = state.history, Window()
    began = saved = time.monotonic()
    spent, log_every = history.seconds, max(1, steps // 100)
    history.stopped = "finished"

    def save() -> None:
        history.seconds = spent + time.monotonic() - began
        history.steps = state.step
        if checkpoint is not None and run.rank == 0:
            state.save(checkpoint)

    def hold_out() -> None:
        if validation is not None:
            judged = state.average.module if state.average else model
            point = evaluate(judged, validation, loss, seed=seed)
            history.validation.append(state.step, *point)

    # the built book shows no progress bars
    quiet = not progress or run.rank > 0 or os.environ.get("DGM_STATIC") == "1"
    bar = tqdm(total=steps, initial=state.step, disable=quiet)
    with bar, _interruptible() as interrupted:
        while state.step < steps:
            step = state.step
            state.set_lr(lr * _schedule(step, steps, warmup, cosine))
            state.optimizer.zero_grad(set_to_none=True)
            parts = batches.parts(step, accumulate)
            for part in parts:
                more = part is not parts[-1] and run.no_sync(wrapped)
                with more or nullcontext():
                    with torch.autocast(
                        run.device.type, torch.bfloat16, enabled=bf16
                    ):
                        values = wrapped(part, step)
                    _require_finite(values, part, batches.where, step)
                    (values.mean() / len(parts)).backward()
                window.add(values)
            if clip is not None:
                norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
                _require_finite(norm, None, batches.where, step)
            state.update()

            now = time.monotonic()
            if state.step % log_every == 0 or state.step == steps:
                point = run.combine(window).mean_and_se()
                history.loss.append(state.step, *point)
                bar.set_postfix(loss=f"{point[0]:.4g}", refresh=False)
                window = Window()
            bar.update()
            if evaluate_every and state.step % evaluate_every == 0:
                hold_out()
            if checkpoint is not None and now - saved > 60:
                save()
                saved = now
            late = minutes is not None and now - began > 60 * minutes
            if run.any(interrupted.is_set() or late):
                history.stopped = "out of time" if late else "interrupted"
                break
    if history.validation.step[-1:] != [state.step]:
        hold_out()
    save()
    state.adopt_average()
    if history.stopped == "interrupted" and run.rank == 0:
        print(f"stopped after step {state.step} of {steps}; nothing is lost")
    return history


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
    mode (train or eval) of the model are left as they were.
    """
    device = next(model.parameters(), torch.zeros(())).device
    rows, window, mode = as_rows(data, device), Window(), model.training
    model.eval()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for low in range(0, len(rows[0]), batch_size):
            batch = take(rows, slice(low, low + batch_size))
            window.add((loss or default_loss)(model, batch, 0))
    model.train(mode)
    return window.mean_and_se()


class _Step(nn.Module):
    """The loss as a forward pass: DDP averages gradients of no other call."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any, step: int) -> Tensor:
        return self.loss(self.model, batch, step)


def _schedule(step: int, steps: int, warmup: int, cosine: bool) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done)) if cosine else 1.0


def _require_finite(values: Tensor, batch: Any, where, step: int) -> None:
    """Refuse NaN and infinity, and a loss that is not one value per sample."""
    name = "gradient norm" if batch is None and values.ndim == 0 else "loss"
    if name == "loss" and values.ndim != 1:
        raise ValueError(
            f"the loss has shape {tuple(values.shape)}; return one value per "
            "sample, (B,), without averaging"
        )
    bad = int((~values.isfinite()).sum())
    if bad:
        raise NonFiniteLoss(
            f"the {name} is not finite at {where(step)}: {bad} of "
            f"{values.numel()} values. The weights are those before this "
            "step; lower lr, clip the gradient, or look at this batch"
        )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request, so that a step ends in peace."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request(*_: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, request)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
