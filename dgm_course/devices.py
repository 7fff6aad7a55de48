"""Where a model is trained: one device, or several processes."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .history import Window
from .nn.norm import BatchNorm2d, several

T = TypeVar("T")


def pick_device(name: str | None = None) -> torch.device:
    """Return the device called ``name``, or the best one there is.

    Raises:
        ValueError: If torch cannot use it here.
    """
    if name is None:
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.empty(0, device=name).is_meta:
            raise RuntimeError("it has shapes, and no numbers")
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device {name!r} cannot be used here ({reason}); choose another, "
            "or none to take the best there is"
        ) from error
    return torch.device(name)


def describe(device: torch.device) -> str:
    """Return the name of a device for history and cards."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} ({platform.machine()}, {threads} threads)"


@contextmanager
def memory_errors_explained(advice: str) -> Iterator[None]:
    """Say which setting to change when a device has too little memory.

    Raises:
        MemoryError: In place of torch's own error.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(
            f"the device ran out of memory with {advice} ({error})"
        ) from error


def in_parts(work: Callable[[int], T], parts: int, most: int) -> tuple[T, int]:
    """Return work(parts), and the number of parts that fitted into memory.

    Where the device has too little there are twice as many, up to ``most``;
    a line is printed.
    """
    while True:
        try:
            return work(parts), parts
        except torch.cuda.OutOfMemoryError:
            if 2 * parts > most:
                raise
        # out here: while it was handled, the error kept tensors alive
        parts *= 2
        torch.cuda.empty_cache()
        print(
            f"the device has too little memory; each batch now comes in {parts}"
            f" parts (accumulate={parts} begins like that)"
        )


@contextmanager
def lost_processes_explained(checkpoint: str | Path | None) -> Iterator[None]:
    """Say what is left when another process of a run has died.

    Raises:
        ConnectionError: In place of the transport's own error.
    """
    try:
        yield
    except RuntimeError as error:  # gloo's errors have no class of their own
        if not re.search("gloo|NCCL", str(error)):
            raise
        kept = "there is no checkpoint to resume from"
        if checkpoint is not None and Path(checkpoint).exists():
            kept = f"{checkpoint} is whole: start again, and resume"
        raise ConnectionError(
            "another process of this run was lost (torchrun tells which was "
            f"the first, and its signal); {kept}"
        ) from error


class OneDevice:
    """The whole batch on one device: plain torch, nothing to install."""

    rank, processes = 0, 1

    def __init__(self, device: str | None = None) -> None:
        self.device = pick_device(device)

    def prepare(self, module: nn.Module) -> nn.Module:
        """Return the module as it is."""
        return module

    def no_sync(self, module: nn.Module) -> Any:
        """Do nothing: there are no gradients to exchange."""
        return nullcontext()

    def combine(self, window: Window) -> Window:
        """Return the window as it is."""
        return window

    def any(self, *flags: bool) -> list[bool]:
        """Return the flags as they are."""
        return list(flags)


class ManyProcesses:
    """One share of each batch per process, started by torchrun.

    The accelerate library sets up the process group, the devices and the
    exchange of gradients.
    """

    def __init__(self, device: str | None = None) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=device == "cpu")
        # numbers of the host travel without the devices, which need not wait
        self.hosts = dist.new_group(backend="gloo")
        self.device = self.accelerator.device
        self.rank = self.accelerator.process_index
        self.processes = self.accelerator.num_processes

    def prepare(self, module: nn.Module) -> nn.Module:
        """Wrap the module so that gradients are averaged over processes.

        Raises:
            ValueError: If a part of it normalizes by the rows of one process.
        """
        for name, part in module.named_modules():
            shared = isinstance(part, (BatchNorm2d, nn.SyncBatchNorm))
            if isinstance(part, _BatchNorm) and not shared:
                raise ValueError(
                    f"{name} is torch's {type(part).__name__}, by which each "
                    "process would normalize its own rows; use "
                    "dgm_course.nn.BatchNorm2d, or on GPUs "
                    "torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)"
                )
        return self.accelerator.prepare(module)

    def no_sync(self, module: nn.Module) -> Any:
        """Postpone the exchange of gradients: another part follows."""
        return self.accelerator.no_sync(module)

    def combine(self, window: Window) -> Window:
        """Add up the windows of all processes."""
        total, squares, count = self._sum([*window.numbers()])
        return Window(total, squares, round(count))

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether a process raises it: all act alike."""
        return [raised > 0 for raised in self._sum([*map(float, flags)])]

    def _sum(self, numbers: list[float]) -> list[float]:
        tensor = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(tensor, group=self.hosts)
        return tensor.tolist()


def from_first(make: Callable[[], T]) -> T:
    """Return what the first process makes; the others wait for it.

    Without a process group, as before torchrun's processes have met in
    ``fit``, each process is the first.
    """
    if not several():
        return make()
    made = [make() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(made, src=0, group=_patient())
    return cast(T, made[0])


def from_all(make: Callable[[int], T], number: int) -> list[T]:
    """Return [make(0), ..., make(number - 1)], shared among the processes.

    All processes must call this, and get the same list; tensors in it are on
    the CPU where there are several. What is made for an index must not depend
    on the indices before: draw its noise from a seed of its own.
    """
    if not several():
        return [make(i) for i in range(number)]
    rank, processes = dist.get_rank(), dist.get_world_size()
    mine = [make(i) for i in range(rank, number, processes)]
    shares: list[Any] = [None] * processes
    dist.all_gather_object(shares, mine, group=_patient())
    return [shares[i % processes][i // processes] for i in range(number)]


@cache
def _patient() -> Any:
    """Return a group of the processes that waits for a long evaluation."""
    return dist.new_group(backend="gloo", timeout=timedelta(days=1))


def processes_or_device(device: str | None) -> OneDevice | ManyProcesses:
    """Return :class:`ManyProcesses` under torchrun, else one device."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return ManyProcesses(device)
    return OneDevice(device)
