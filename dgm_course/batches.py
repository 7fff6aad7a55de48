"""Minibatches that never leave the device, in an order that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

Array = Tensor | np.ndarray
Data = Array | Sequence[Array] | TensorDataset


def as_rows(data: Data, device: torch.device | str) -> tuple[Tensor, ...]:
    """Return the tensors (n, ...) of a data set, moved to a device.

    Raises:
        TypeError: If they are no tensors, arrays or TensorDataset.
        ValueError: If they differ in length, or are empty.
    """
    if isinstance(data, TensorDataset):
        data = data.tensors
    given = (data,) if isinstance(data, Array) else data
    if isinstance(data, DataLoader) or not all(
        isinstance(part, Array) for part in given
    ):
        raise TypeError(
            f"data is a {type(data).__name__}; expected a tensor, several of "
            "equal length, or a TensorDataset: batches are drawn from them on "
            "the device (of a DataLoader, pass the tensors of its dataset)"
        )
    parts = [torch.as_tensor(part) for part in given]
    lengths = [len(part) for part in parts]
    if not lengths or len(set(lengths)) > 1 or lengths[0] == 0:
        raise ValueError(
            f"data has parts of lengths {lengths}; expected one or more "
            "tensors with the same number of rows, at least one"
        )
    return tuple(part.to(device) for part in parts)


def take(rows: tuple[Tensor, ...], index: Tensor | slice) -> Any:
    """Return the chosen rows: one tensor (B, ...), or a tuple of several."""
    parts = tuple(part[index] for part in rows)
    return parts[0] if len(parts) == 1 else parts


class Batches:
    """Batch number ``step`` of an endless stream of shuffled epochs.

    The order of an epoch follows from ``seed`` and the number of the epoch
    alone, so that any step can be asked for at any time. The last, incomplete
    batch of an epoch is left out.

    Args:
        data: A tensor or several of the same length; moved to the device.
        size: Rows per batch, all processes together.
        seed: Fixes the order.
        device: Where the rows stay.
        rank: Which share of each batch is wanted...
        processes: ... out of how many.

    Raises:
        ValueError: If there are no rows, the size makes no sense, or a
            process would have no share.
    """

    def __init__(
        self,
        data: Data,
        size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size}")
        self.rows = as_rows(data, device)
        self.size = min(size, len(self.rows[0]))
        self.per_epoch = len(self.rows[0]) // self.size
        self.seed, self.rank, self.processes = seed, rank, processes
        self._epoch, self._order = -1, torch.empty(0)
        if self.size < processes:
            raise ValueError(
                f"a batch has {self.size} rows, and there are {processes} "
                "processes; give each a row at least, or start fewer"
            )

    def index(self, step: int) -> Tensor:
        """Return the row numbers, (b,), of this process's share of a batch."""
        epoch, batch = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(
                1_000_003 * self.seed + epoch
            )
            order = torch.randperm(len(self.rows[0]), generator=generator)
            device = self.rows[0].device
            # the host need not wait, but where torch loses such a copy
            # (Apple's GPUs, pytorch issue 139550)
            order = order.to(device, non_blocking=device.type != "mps")
            self._epoch, self._order = epoch, order
        low, high = (
            batch * self.size + rank * self.size // self.processes
            for rank in (self.rank, self.rank + 1)
        )
        return self._order[low:high]

    def parts(self, step: int, accumulate: int) -> list[tuple[float, Any]]:
        """Return the share of a step, cut into parts, with their weights.

        Processes have the same number of parts, whose weights add up to 1 on
        average over the processes: so do their gradients.
        """
        number = min(accumulate, self.size // self.processes)
        return [
            (self.processes * len(part) / self.size, take(self.rows, part))
            for part in self.index(step).tensor_split(number)
        ]

    def where(self, step: int) -> str:
        """Describe a step for an error message."""
        epoch, batch = divmod(step, self.per_epoch)
        first = self.index(step)[:8].tolist()
        return (
            f"step {step} (epoch {epoch}, batch {batch} of "
            f"{self.per_epoch}, rows {first} ...)"
        )


class NoBatches:
    """The stream of a loss that draws its own samples: None, for ever."""

    def parts(self, step: int, accumulate: int) -> list[tuple[float, Any]]:
        """Return ``accumulate`` times None, with equal weights."""
        return [(1 / accumulate, None)] * accumulate

    def where(self, step: int) -> str:
        """Describe a step for an error message."""
        return f"step {step}"
