"""WaveNet: causal convolutions whose dilation doubles from layer to layer.

Van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least

# two cycles of 1, 2, 4, ..., 512: a receptive field of 2,047 samples
DILATIONS = tuple(2**i for i in range(10)) * 2


def receptive_field(dilations: Sequence[int], size: int = 2) -> int:
    """How many inputs an output sees, its own included.

    Each layer adds the reach of its filter, ``(size - 1) * dilation``.

    Args:
        dilations: Of the layers.
        size: Taps of each filter.

    Example:
        >>> receptive_field((1, 2, 4, 8))
        16
    """
    return 1 + (size - 1) * sum(dilations)


class CausalConv(nn.Conv1d):
    """A convolution that sees no later sample: (B, inputs, T) to outputs.

    Output t is computed from inputs t, t - d, ..., t - (size - 1) d; before
    the start there are zeros.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        size: Taps of the filter.
        dilation: Distance d between two taps.
        bias: Whether a constant is added.

    Raises:
        ValueError: If the filter has no tap.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 2,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        at_least(1, size=size, dilation=dilation)
        super().__init__(inputs, outputs, size, dilation=dilation, bias=bias)
        self.reach = (size - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """Filter, with as many zeros on the left as the filter reaches."""
        return super().forward(F.pad(x, (self.reach, 0)))


class Block(nn.Module):
    """A gated unit with its residual and its skip connection (section 2.3).

    z = tanh(W_f * h + c_f) sigmoid(W_g * h + c_g), where c is the condition
    (section 2.5); the block returns h + W_r z and W_s z.

    Args:
        channels: Channels of h and of z.
        skips: Channels of the skip connection.
        size: Taps of the filter.
        dilation: Distance between two taps.
        last: Leave the residual out, since no block follows.
    """

    def __init__(
        self,
        channels: int,
        skips: int,
        size: int,
        dilation: int,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.conv = CausalConv(channels, 2 * channels, size, dilation)
        self.residual: Any = None
        if not last:
            self.residual = nn.Conv1d(channels, channels, 1, bias=False)
        self.skip = nn.Conv1d(channels, skips, 1, bias=False)

    def forward(
        self, h: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the next h, (B, channels, T), and the skip, (B, skips, T).

        Args:
            h: (B, channels, T).
            condition: (B, 2 channels, T'), where T' divides T: each column is
                held for T / T' samples.
        """
        raw = self.conv(h)
        if condition is not None:
            columns = raw.unflatten(-1, (condition.shape[-1], -1))
            raw = (columns + condition[..., None]).flatten(-2)
        z = gated(raw)
        h = h if self.residual is None else h + self.residual(z)
        return h, self.skip(z)


def gated(raw: Tensor) -> Tensor:
    """Return tanh(first half) * sigmoid(second half): (B, C, T) of 2 C."""
    signal, gate = raw.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(gate)


class WaveNet(nn.Module):
    """The stack of blocks; output t sees inputs up to t and none later.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        channels: Channels of the hidden layers.
        skips: Channels that the skip connections are summed in.
        dilations: Of the blocks.
        size: Taps of the filters.
        local: Channels of a condition that varies with time; 0 for none.
        classes: Number of labels, which hold for a whole sound; 0 for none.

    Shape:
        x: (B, inputs, T). local: (B, local, T'), where T' divides T: each
        column is held for T / T' samples. label: (B,), integers. Result:
        (B, outputs, T).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int = 32,
        skips: int = 64,
        dilations: Sequence[int] = DILATIONS,
        size: int = 2,
        local: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.locals, self.classes = inputs, local, classes
        self.receptive_field = receptive_field(dilations, size)
        self.enter = nn.Conv1d(inputs, channels, 1)
        last = len(dilations) - 1
        self.blocks: Any = nn.ModuleList(
            Block(channels, skips, size, dilation, last=i == last)
            for i, dilation in enumerate(dilations)
        )
        self.exit: Any = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(skips, skips, 1),
            nn.ReLU(),
            nn.Conv1d(skips, outputs, 1),
        )
        conditions = 2 * channels * len(dilations)
        self.local: Any = nn.Conv1d(local, conditions, 1) if local else None
        self.label: Any = None
        if classes:
            self.label = nn.Embedding(classes, conditions)
            nn.init.zeros_(self.label.weight)

    def forward(
        self,
        x: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Map a sound to its outputs; see the class for shapes.

        Args:
            x: The sound.
            local: What is known at each time; None where nothing is, which
                differs from zeros.
            label: What is known of the whole sound.
            context: Number of outputs, from the left, that are left out:
                those whose receptive field the crop cuts.

        Raises:
            ValueError: If a shape is not that of the network.
        """
        self.check(x, local)
        h, total = self.enter(x), None
        for block, condition in zip(
            self.blocks, self.conditions(local, label, x.shape[0])
        ):
            h, skip = block(h, condition)
            skip = skip[..., context:]
            total = skip if total is None else total + skip
        return self.exit(total)

    def conditions(
        self, local: Tensor | None, label: Tensor | None, n: int
    ) -> list[Tensor | None]:
        """Return what each block adds to its filters, (B, 2 channels, T').

        Raises:
            ValueError: If the network has no such condition, or misses one.
        """
        if (label is None) != (self.label is None) or (
            label is not None and label.shape != (n,)
        ):
            shape = None if label is None else tuple(label.shape)
            expected = f"({n},)" if self.classes else "None"
            raise ValueError(f"label has shape {shape}; expected {expected}")
        parts = []
        if local is not None:
            parts.append(self.local(local))
        if label is not None:
            parts.append(self.label(label)[..., None])
        if not parts:
            return [None] * len(self.blocks)
        return list(sum(parts[1:], parts[0]).chunk(len(self.blocks), dim=1))

    def check(self, x: Tensor, local: Tensor | None) -> None:
        """Refuse sounds and conditions of the wrong shape.

        Raises:
            ValueError: Naming both.
        """
        if x.ndim != 3 or x.shape[1] != self.inputs:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (B, {self.inputs}, T)"
            )
        if local is None:
            return
        n, length = x.shape[0], x.shape[-1]
        if (
            local.ndim != 3
            or local.shape[:2] != (n, self.locals)
            or length % local.shape[2]
        ):
            raise ValueError(
                f"local has shape {tuple(local.shape)}; expected ({n}, "
                f"{self.locals}, T') where T' divides T = {length}"
                + ("" if self.locals else " (this network takes none)")
            )
