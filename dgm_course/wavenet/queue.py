"""Sampling a teacher: naively, and with queues that forget nothing.

Each new sample enters 2^l filters of layer l once, and most of what the naive
loop computes it has computed before. A queue in front of each filter keeps
what the filter will need again (Le Paine et al., "Fast Wavenet Generation
Algorithm", 2016).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..profile import is_quiet
from .network import WaveNet, gated
from .teacher import Teacher, in_range


class Stream:
    """A WaveNet that takes one sample at a time: O(layers) work for each.

    In front of a filter of dilation d and k taps stands a queue of the last
    (k - 1) d inputs, zeros at the start. The weights are read when the stream
    is made.

    Args:
        net: The network.
        n: Number of sounds that run side by side.
    """

    def __init__(self, net: WaveNet, n: int) -> None:
        self.net, self.n = net, n
        like = net.enter.weight
        zeros = like.new_zeros(n, net.enter.out_channels)
        self.queues: list[deque[Tensor]] = [
            deque([zeros] * block.conv.reach) for block in net.blocks
        ]
        self.taps = [
            range(0, block.conv.reach + 1, block.conv.dilation[0])
            for block in net.blocks
        ]
        # taps in the order of time, one after the other: (k inputs, outputs)
        self.filters = [
            block.conv.weight.permute(2, 1, 0).flatten(0, 1)
            for block in net.blocks
        ]
        self.residuals = [
            block.residual.weight[..., 0].T for block in net.blocks[:-1]
        ]
        # a sum of products is the product with all weights side by side
        self.skips = torch.cat([b.skip.weight[..., 0].T for b in net.blocks])
        self.enter = _pointwise(net.enter)
        self.exit = [_pointwise(layer) for layer in net.exit]

    def conditions(
        self, local: Tensor | None = None, label: Tensor | None = None
    ) -> list[Tensor]:
        """Return what stays added to the filters while a condition holds.

        Args:
            local: (n, local), the condition at this time.
            label: (n,).
        """
        column = None if local is None else local[..., None]
        found = self.net.conditions(column, label, self.n)
        return [
            block.conv.bias if c is None else c[..., 0] + block.conv.bias
            for block, c in zip(self.net.blocks, found)
        ]

    def step(self, x: Tensor, conditions: list[Tensor]) -> Tensor:
        """Take the next input, (n, inputs); return its output, (n, outputs).

        Args:
            x: The input.
            conditions: See :meth:`conditions`.
        """
        h, gates = self.enter(x), []
        for i, queue in enumerate(self.queues):
            queue.append(h)
            seen = torch.cat([queue[j] for j in self.taps[i]], 1)
            queue.popleft()
            z = gated(torch.addmm(conditions[i], seen, self.filters[i]))
            gates.append(z)
            if i < len(self.residuals):
                h = torch.addmm(h, z, self.residuals[i])
        h = torch.cat(gates, 1) @ self.skips
        for layer in self.exit:
            h = layer(h)
        return h


@torch.no_grad()
def sample(
    teacher: Teacher,
    start: Tensor,
    steps: int,
    local: Tensor | None = None,
    label: Tensor | None = None,
    progress: bool = False,
) -> Tensor:
    """Continue sounds, with one step of the network per sample.

    Args:
        teacher: A teacher on a :class:`~dgm_course.wavenet.WaveNet`.
        start: What has been heard, integers (n, 1, S); S may be 0.
        steps: Number T of samples to draw.
        local: (n, local, T'), where T' divides S + T.
        label: (n,).
        progress: Show a progress bar.

    Returns:
        Integers (n, 1, T).
    """
    stream, y = Stream(teacher.net, len(start)), _silence(teacher, start)
    first, length = start.shape[-1], start.shape[-1] + steps
    teacher.net.check(y.expand(-1, 1, length), local)
    held = length if local is None else length // local.shape[-1]
    known, levels = teacher.scaled(start), teacher.likelihood.levels
    drawn: list[Tensor] = []
    conditions: list[Tensor] = []
    for t in tqdm(range(length), disable=is_quiet(progress)):
        if t % held == 0:
            now = None if local is None else local[..., t // held]
            conditions = stream.conditions(now, label)
        parameters = stream.step(y[..., 0], conditions)[..., None]
        if t < first:
            y = known[..., t : t + 1]
        else:
            drawn.append(teacher.likelihood.sample(parameters))
            y = in_range(drawn[-1], levels, known.dtype)
    return torch.cat(drawn, dim=-1)


@torch.no_grad()
def sample_naive(
    teacher: Teacher,
    start: Tensor,
    steps: int,
    local: Tensor | None = None,
    label: Tensor | None = None,
    progress: bool = False,
) -> Tensor:
    """The same samples, each from a pass over one receptive field.

    Arguments, shapes and result: see :func:`sample`.
    """
    first, length = start.shape[-1], start.shape[-1] + steps
    late = torch.cat([_silence(teacher, start), teacher.scaled(start)], -1)
    teacher.net.check(late[..., :1].expand(-1, 1, length), local)
    if local is not None:
        local = local.repeat_interleave(length // local.shape[-1], -1)
    drawn: list[Tensor] = []
    for t in tqdm(range(first, length), disable=is_quiet(progress)):
        low = max(0, t + 1 - teacher.net.receptive_field)
        now = None if local is None else local[..., low : t + 1]
        seen = late[..., low : t + 1]
        parameters = teacher.net(seen, now, label, context=t - low)
        drawn.append(teacher.likelihood.sample(parameters))
        late = torch.cat([late, teacher.scaled(drawn[-1])], -1)
    return torch.cat(drawn, dim=-1)


def _pointwise(layer: Any) -> Callable[[Tensor], Tensor]:
    """A convolution of one tap for a single time step, without its overhead."""
    if isinstance(layer, nn.ReLU):
        return torch.relu
    return partial(F.linear, weight=layer.weight[..., 0], bias=layer.bias)


def _silence(teacher: Teacher, start: Tensor) -> Tensor:
    """The input of the first step, (n, 1, 1)."""
    return next(teacher.net.parameters()).new_zeros(len(start), 1, 1)
