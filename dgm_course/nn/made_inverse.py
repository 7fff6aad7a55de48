"""Three ways to run a MADE along its own order.

Each finds the x with x_i = g(z_i, parameters_i(x_1, ..., x_{i-1})) for all i:
the inverse of an autoregressive flow, or a sample of an autoregressive model
whose noise is z. They return the same x, and differ in the work they do.

``invert(z, parameters) -> (x, ladj)`` is g and log|dg/dz|, elementwise: z,
x and ladj have one shape, and ``parameters`` is
``(P, *that shape)``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..limits import at_least
from ..sight import holds
from .made import MADE, MaskedLinear

Invert = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def textbook(
    made: MADE, invert: Invert, z: Tensor, context: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One variable per pass of the whole network: D passes.

    What the definition says and most libraries do. Slow, differentiable, and
    what the other two are tested against.

    Args:
        made: The network.
        invert: See the head of this file.
        z: Noise, (B, D).
        context: (B, context) where the network takes one.

    Returns:
        x, (B, D), and the sum of log|dg/dz| over the variables, (B,).
    """
    made.check(z, context, "z")
    x = torch.zeros_like(z)
    column = torch.arange(made.dim, device=z.device)
    for i in range(made.dim):
        values, ladj = invert(z, made(x, context))
        x = torch.where(column == i, values, x)
    return x, ladj.sum(1)


@torch.no_grad()
def jacobi(
    made: MADE,
    invert: Invert,
    z: Tensor,
    context: Tensor | None = None,
    tolerance: float = 0.0,
) -> tuple[Tensor, Tensor, int]:
    """All variables at once, again and again, until nothing changes.

    After k sweeps x_1, ..., x_k are final, so D sweeps are exact, and fewer
    are where the variables hardly depend on each other; nothing promises
    that. Song et al. (2021), "Accelerating Feedforward Computation via
    Parallel Nonlinear Equation Solving".

    Args:
        made: The network.
        invert: See the head of this file.
        z: Noise, (B, D).
        context: (B, context) where the network takes one.
        tolerance: Stop when no entry moves by more. Above 0 the result is an
            approximation, whose error may well be larger than this.

    Returns:
        As :func:`textbook`, and the number of sweeps, at most D. One that
        finds nothing to change counts.
    """
    made.check(z, context, "z")
    limit = torch.finfo(z.dtype).max ** 0.5
    x = torch.zeros_like(z)
    sweeps, still = 0, False
    while not still and sweeps < made.dim:
        before = x
        x, ladj = invert(z, made(before, context))
        # entries that are not final yet can explode, and then NaN from
        # infinity times a masked weight would reach those that are
        x = x.clamp(-limit, limit)
        sweeps += 1
        still = holds(((x - before).abs() <= tolerance).all())
    return x, ladj.sum(1), sweeps


@torch.no_grad()
def blocked(
    made: MADE,
    invert: Invert,
    z: Tensor,
    context: Tensor | None = None,
    block: int = 8,
) -> tuple[Tensor, Tensor]:
    """Each unit once, when the last variable that it sees is known.

    The units stand in the order of their degrees, so the units known so far
    are the first ones of every layer, and all of this together is the work of
    one pass or less. Variables are taken in stages: those between which no
    hidden unit becomes known share a stage. As in the blocked solution of a
    triangular system, a block of stages gets the sum over all earlier units
    in one matrix product per layer, and only the small rest goes stage by
    stage.

    Args:
        made: The network.
        invert: See the head of this file.
        z: Noise, (B, D).
        context: (B, context) where the network takes one.
        block: Stages per block: changes the time, not the result.

    Returns:
        As :func:`textbook`.

    Raises:
        ValueError: If ``block`` is below 1.
    """
    at_least(1, block=block)
    made.check(z, context, "z")
    size = made.outputs
    # features first: what is known is one contiguous piece of memory, and each
    # of the networks that vmap may run at once has its own
    z = (z.T + torch.zeros_like(made.layers[0].bias[0])).contiguous()
    x, ladj = torch.empty_like(z), torch.empty_like(z)
    units = [x] + [z.new_empty(len(d), *z.shape[1:]) for d in made.degrees[1:]]
    layers = [_Layer(*pair) for pair in zip(made.layers, units)]
    if made.context is not None:
        layers[0].bias = layers[0].bias + made.context(context).T
    *hidden, top = layers

    starts = sorted({0, *made.degrees[-1]} - {made.dim})
    stages = list(pairwise([*starts, made.dim]))
    done = [0] * len(units)
    for k in range(0, len(stages), block):
        inside = stages[k : k + block]
        begin, end = inside[0][0], inside[-1][1]
        done[0] = begin
        until = made.known(inside[-1][0])
        for i, layer in enumerate(hidden):
            layer.open(done[i + 1], until[i + 1], done[i])
        top.open(begin * size, end * size, done[-1])
        for low, high in inside:
            known = made.known(low)
            for i, layer in enumerate(hidden):
                a, b = done[i + 1], known[i + 1]
                if a < b:
                    new = made.activation(layer.rows(a, b, known[i]))
                    if made.residual and i > 0:
                        new += units[i][a:b]
                    units[i + 1][a:b] = new
            out = top.rows(low * size, high * size, known[-1])
            parameters = out.view(high - low, size, z.shape[1]).movedim(1, 0)
            x[low:high], ladj[low:high] = invert(z[low:high], parameters)
            done = known
    return x.T.contiguous(), ladj.sum(0)


class _Layer:
    """Some rows of W u + b, as the units u below become known.

    Args:
        layer: W and b.
        units: u, features first; filled by the caller.
    """

    def __init__(self, layer: MaskedLinear, units: Tensor) -> None:
        self.weight, self.units = layer.masked_weight(), units
        self.bias = layer.bias[:, None]

    def open(self, first: int, last: int, known: int) -> None:
        """Start a block of rows with what the units known so far add."""
        self.first, self.seen = first, known
        self.sums = torch.addmm(
            self.bias[first:last],
            self.weight[first:last, :known],
            self.units[:known],
        )

    def rows(self, a: int, b: int, known: int) -> Tensor:
        """Return rows a, ..., b - 1: add the units known since."""
        return torch.addmm(
            self.sums[a - self.first : b - self.first],
            self.weight[a:b, self.seen : known],
            self.units[self.seen : known],
        )
