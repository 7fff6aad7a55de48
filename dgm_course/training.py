"""One training loop for every model of the course."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .batches import Batches, Data, NoBatches, as_rows
from .checkpoint import TrainingState
from .devices import (
    describe,
    in_parts,
    lost_processes_explained,
    memory_errors_explained,
    processes_or_device,
)
from .evaluation import Loss, default_loss, evaluate, sample
from .finite import NonFiniteLoss, watch
from .history import History, Window
from .limits import at_least
from .profile import is_quiet
from .signals import interruptible

__all__ = ["NonFiniteLoss", "default_loss", "evaluate", "fit", "sample"]


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
    (this needs the accelerate library); otherwise one device does it all. An
    update is the same for any number of processes, up to rounding and noise.

    Args:
        model: Any module; it is moved to the device.
        data: A tensor or NumPy array, or several of equal length (or a
            TensorDataset), whose rows are drawn without replacement in each
            epoch. It moves to the device once, in its own dtype (uint8 pixels
            stay uint8). None for a loss that draws its own samples, as in
            reverse-KL training.
        loss: ``loss(model, batch, step)`` returns one value per sample in
            nats, (B,); see :func:`default_loss` for None.
        steps: Number of updates.
        batch_size: Samples per update, over all processes.
        lr: Learning rate of Adam.
        warmup: Steps in which the learning rate grows linearly from 0.
        cosine: Let the learning rate fall to 0 at the end, as a half cosine.
        clip: Largest norm of the gradient; None leaves it alone.
        accumulate: Parts into which a batch is cut to save memory. Where the
            memory of one GPU does not do, there will be twice as many.
        ema: Decay of an exponential moving average of the weights; at the
            end the model holds the average.
        bf16: Compute the loss under bfloat16 autocast.
        validation: Held-out data, evaluated every ``evaluate_every`` steps.
        evaluate_every: See ``validation``; None means at the end only.
        minutes: Stop after this time, whatever the step.
        checkpoint: File that is written atomically every minute and at the
            end.
        resume: Go on from ``checkpoint`` if it is there, with the options of
            its run (``steps`` may grow). The result of one process on a CPU
            equals that of an uninterrupted run bit for bit. There may be
            another number of processes than before.
        device: "cpu", "cuda", ...; None takes the best there is.
        seed: Fixes the order of the data and the noise of the loss.
        progress: Show a progress bar.

    Returns:
        The history. Ctrl-C, or the SIGTERM of a scheduler, ends training after
        the current step, keeps what was learned, and writes the checkpoint; a
        second Ctrl-C is immediate.

    Raises:
        NonFiniteLoss: Naming step, epoch and batch, before the bad update on
            a CPU. An accelerator makes no update from there on, and this is
            raised at the next point of the loss curve.
        MemoryError: If the device has too little, and what to change.
        ConnectionError: If another process of the run has died.
        TypeError: If the data are no tensors.
        ValueError: If an option, the data or the shape of the loss make no
            sense, or the checkpoint is of another model or of other options.
    """
    at_least(0, steps=steps, minutes=minutes, warmup=warmup)
    at_least(1, accumulate=accumulate, evaluate_every=evaluate_every)
    _check_ranges(lr, clip, ema)
    run = processes_or_device(device)
    batches: Batches | NoBatches = NoBatches()
    if data is not None:
        batches = Batches(
            data, batch_size, seed, run.device, run.rank, run.processes
        )
    if validation is not None:
        validation = as_rows(validation, run.device)
    model.to(run.device).train()
    torch.manual_seed(seed + run.rank)
    options: dict[str, Any] = {
        "seed": seed,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "lr": lr,
        "warmup": warmup,
        "cosine": cosine,
        "clip": clip,
        "ema": ema,
        "bf16": bf16,
    }
    state = TrainingState(model, options, describe(run.device))
    # one answer for all: a process may come before the file is written
    (there,) = run.any(checkpoint is not None and Path(checkpoint).exists())
    if resume and checkpoint is not None and there:
        state.load(checkpoint)
        if run.rank > 0:
            state.window = Window()
            # the file holds the noise of process 0 alone
            torch.manual_seed(seed + run.rank + run.processes * state.step)
    wrapped = run.prepare(_Step(model, loss or default_loss))
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    low_precision: Any = nullcontext
    if bf16:  # torch 2.4 has no autocast, not even a disabled one, for "mps"
        low_precision = partial(torch.autocast, run.device.type, torch.bfloat16)
    guard = watch(trained, batches.where, state.step, run.device)
    history = state.history
    began = saved = time.monotonic()
    spent, log_every = history.seconds, max(1, steps // 100)
    history.stopped = "finished"
    # only the rows of one process's batch can be cut further
    cut = data is not None and run.processes == 1
    in_use, most = accumulate, batch_size if cut else accumulate

    def backward(number: int) -> list[Tensor]:
        state.optimizer.zero_grad(set_to_none=True)
        losses, parts = [], batches.parts(state.step, number)
        for i, (weight, part) in enumerate(parts):
            more = i + 1 < len(parts) and run.no_sync(wrapped)
            with more or nullcontext():
                with low_precision():
                    values = wrapped(part, state.step)
                sound = guard.loss(values)
                (weight * values.mean() * sound).backward()
            losses.append(values.detach())
        return losses

    def save() -> None:
        guard.settle()
        history.seconds = spent + time.monotonic() - began
        history.steps = state.step
        if checkpoint is not None:
            whole = run.combine(state.window)
            if run.rank == 0:
                state.save(checkpoint, whole)

    def hold_out() -> None:
        if validation is not None:
            judged = model if state.average is None else state.average
            point = evaluate(judged, validation, loss, seed=seed)
            history.validation.append(state.step, *point)

    quiet = is_quiet(progress and run.rank == 0)
    bar = tqdm(total=steps, initial=state.step, disable=quiet)
    advice = (
        f"accumulate={accumulate}; accumulate={2 * accumulate} gives the same "
        "gradient with half the memory"
    )
    if data is None:
        advice = "the samples that the loss draws; let it draw fewer"
    elif cut:
        advice = "a single row at a time; take a smaller model, or bf16=True"
    memory = memory_errors_explained(advice)
    lost = lost_processes_explained(checkpoint)
    insist = run.processes == 1
    with bar, memory, lost, interruptible(insist) as interrupted:
        while state.step < steps:
            state.set_lr(lr * _schedule(state.step, steps, warmup, cosine))
            losses, in_use = in_parts(backward, in_use, most)
            for values in losses:
                state.window.add(values)
            guard.gradient()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            state.update(guard.found)

            now = time.monotonic()
            if state.step % log_every == 0 or state.step == steps:
                guard.settle()
                point = run.combine(state.window).mean_and_se()
                history.loss.append(state.step, *point)
                bar.set_postfix(loss=f"{point[0]:.4g}", refresh=False)
                state.window = Window()
            bar.update()
            if evaluate_every and state.step % evaluate_every == 0:
                guard.settle()
                hold_out()
            late = minutes is not None and now - began > 60 * minutes
            # what one process has to do, all do, in the same step
            due, late, asked = run.any(
                now - saved > 60, late, interrupted.is_set()
            )
            if due and checkpoint is not None:
                save()
                saved = now
            if late or asked:
                history.stopped = "out of time" if late else "interrupted"
                break
        save()
        if history.validation.step[-1:] != [state.step]:
            hold_out()
            save()
    rest = run.combine(state.window)
    if rest.count > 0:  # after the save: a resumed run goes on without it
        history.loss.append(state.step, *rest.mean_and_se())
    state.adopt_average()
    if history.stopped == "interrupted" and run.rank == 0:
        print(f"stopped after step {state.step} of {steps}; nothing is lost")
    return history


class _Step(nn.Module):
    """The loss as a forward pass: DDP averages gradients of no other call."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any, step: int) -> Tensor:
        return self.loss(self.model, batch, step)


def _check_ranges(lr: float, clip: float | None, ema: float | None) -> None:
    if not 0 < lr < math.inf:
        raise ValueError(f"lr = {lr}; expected a positive number")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip = {clip}; expected a positive norm, or None")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema = {ema}; expected a decay in [0, 1), or None")


def _schedule(step: int, steps: int, warmup: int, cosine: bool) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done)) if cosine else 1.0
