"""Deep networks that forget their activations, and compute them once more.

Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network:
Backpropagation Without Storing Activations", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..flows import Flow, Squeeze
from ..flows.base import WithLadj
from .replay import Replay


class HalfStep(Flow):
    """(x1, x2) to (x2, x1 + F(x2)): an additive coupling and a swap.

    Dinh et al. (2014, section 3.2). The block of i-RevNet (Jacobsen et al.,
    2018, section 3.1); two of them are the block of RevNet. The determinant
    is that of the swap, plus or minus one: ladj = 0.

    Args:
        net: F, from one half of the channels to the other. It is called once
            more in the backward pass, and must compute the same: it may draw
            random numbers and normalize by the batch, but not keep a state of
            its own that changes what it returns.
        squeeze: Both halves are squeezed as by
            :class:`~dgm_course.flows.multiscale.Squeeze`, and F has to return
            four times its channels at half the size.

    Shape:
        x: (B, C, ...), C even. z: as x, or (B, 4 C, H/2, W/2).
    """

    def __init__(self, net: nn.Module, squeeze: bool = False) -> None:
        super().__init__()
        self.net = net
        self.squeeze = Squeeze() if squeeze else None

    @property
    def steps(self) -> list[HalfStep]:
        """The half steps that this is made of: itself."""
        return [self]

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same, or squeezed."""
        return self.squeeze.output_shape(shape) if self.squeeze else shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Add to one half what the network says of the other."""
        return whole(self.advance(*halves(x)))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Subtract it: the network runs the same way as before."""
        return whole(self.undo(*halves(z)))

    def advance(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return both halves behind the step.

        Raises:
            ValueError: If the network's output does not fit.
        """
        return self.down(b), self.add(a, self.net(b))

    def undo(self, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return both halves before the step."""
        b = self.up(b)
        return self.up(c - self.net(b)), b

    def add(self, a: Tensor, value: Tensor) -> Tensor:
        """Return the half that changes, given what the network says.

        Raises:
            ValueError: If it has another shape, or a higher precision.
        """
        a = self.down(a)
        result = a + value if value.shape == a.shape else value
        if value.shape != a.shape or result.dtype != a.dtype:
            raise ValueError(
                f"the network of a reversible step returns {value.dtype} of "
                f"shape {tuple(value.shape)}, to be added to {a.dtype} of "
                f"shape {tuple(a.shape)}; expected the same shape, and a dtype "
                "that the sum can keep"
            )
        return result

    def down(self, x: Tensor) -> Tensor:
        """Squeeze a half, if this step does."""
        return x if self.squeeze is None else self.squeeze(x)[0]

    def up(self, x: Tensor) -> Tensor:
        """Undo :meth:`down`."""
        return x if self.squeeze is None else self.squeeze.inverse(x)[0]


class ReversibleBlock(Flow):
    """y1 = x1 + F(x2), y2 = x2 + G(y1), ladj = 0 (section 3.1).

    Args:
        f: F, whose outputs have the shape of its inputs.
        g: G, likewise.

    Shape:
        x: (B, C, ...), C even; x1 is the first half of the channels.
    """

    def __init__(self, f: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.f, self.g = HalfStep(f), HalfStep(g)

    @property
    def steps(self) -> list[HalfStep]:
        """The half steps that this is made of: (x2, y1), then (y1, y2)."""
        return [self.f, self.g]

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply F, then G."""
        return whole(self.g.advance(*self.f.advance(*halves(x))))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """x2 = y2 - G(y1), x1 = y1 - F(x2)."""
        return whole(self.f.undo(*self.g.undo(*halves(z))))


class ReversibleSequence(Flow):
    """Blocks whose activations are computed again in the backward pass.

    Between forward and backward pass it holds its output alone, however deep
    it is. The backward pass goes through the half steps from last to first:
    it finds the input of each from its output, repeats the step as it ran
    (random numbers, precision, statistics), hands the gradients of its
    parameters to autograd, and lets go of both (section 3.2, algorithm 1).
    ladj = 0.

    Args:
        *blocks: Any of :class:`ReversibleBlock` and :class:`HalfStep`.
        store: Keep the activations: plain autograd, for comparison, for
            second derivatives and inside of ``torch.func``.

    Raises:
        ValueError: If there is no block.
    """

    def __init__(
        self, *blocks: ReversibleBlock | HalfStep, store: bool = False
    ) -> None:
        super().__init__()
        if not blocks:
            raise ValueError("no block was given; expected at least one")
        self.blocks: Any = nn.ModuleList(blocks)
        self.store = store

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the last block."""
        for block in self.blocks:
            shape = block.output_shape(shape)
        return shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Apply the blocks from first to last."""
        a, b = halves(x)
        steps = [step for block in self.blocks for step in block.steps]
        forget = torch.is_grad_enabled() and not self.store
        tape: list[tuple[Tensor, Tensor]] = []
        for step in steps:
            if forget:
                weights = [p for p in step.parameters() if p.requires_grad]
                last = step is steps[-1]
                c = _Forgetful.apply(tape, step, last, a, b, *weights)
                a, b = step.down(b), c
            else:
                a, b = step.advance(a, b)
        return whole((a, b))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Undo the blocks from last to first."""
        for block in reversed(self.blocks):
            z, _ = block.inverse(z)
        return z, z.new_zeros(z.shape[0])


class _Forgetful(torch.autograd.Function):
    """One half step that keeps nothing; the last one keeps its output.

    ``tape`` holds both halves behind the step whose backward pass comes next:
    the step above leaves them there. Each step is a node of its own, with its
    parameters as inputs, so that autograd adds up their gradients at once,
    and calls the hooks by which processes share them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        tape: list[tuple[Tensor, Tensor]],
        step: HalfStep,
        last: bool,
        a: Tensor,
        b: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        ctx.tape, ctx.step, ctx.last = tape, step, last
        ctx.replay = Replay(step.net, b)
        version = b._version
        with ctx.replay.precision():
            value = step.net(b)
        ctx.replay.called()
        if b._version != version:
            raise ValueError(
                f"{type(step.net).__name__} changes its input in place, which "
                "the other half still needs; use inplace=False in its first "
                "layer"
            )
        c = step.add(a, value)
        # also makes autograd notice weights that change before the backward
        ctx.save_for_backward(*weights, *((step.down(b), c) if last else ()))
        return c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        step, weights = ctx.step, ctx.saved_tensors
        if ctx.last:
            *weights, b, c = weights
        else:
            b, c = ctx.tape.pop()
        needs_a, needs_b = ctx.needs_input_grad[3:5]
        b = step.up(b).detach().requires_grad_(needs_b)
        with torch.enable_grad(), ctx.replay.again() as net:
            value = net(b)
        if needs_a or needs_b:
            a = step.up(c - value.detach())
            ctx.tape[:] = [(a, b.detach())]
            del a
        del c
        inputs = [b, *weights] if needs_b else [*weights]
        grads: Sequence[Tensor | None] = [None] * len(inputs)
        if value.requires_grad:
            grads = torch.autograd.grad(
                value, inputs, gradient.to(value.dtype), allow_unused=True
            )
        back = step.up(gradient) if needs_a else None
        return None, None, None, back, *([] if needs_b else [None]), *grads


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split the channels: (B, C, ...) to two of (B, C/2, ...).

    Raises:
        ValueError: If their number is odd.
    """
    if x.ndim < 2 or x.shape[1] % 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; a reversible block expects an even "
            "number of channels (B, C, ...)"
        )
    a, b = x.chunk(2, dim=1)
    return a, b


def whole(pair: tuple[Tensor, Tensor]) -> WithLadj:
    """Undo :func:`halves`, and add the ladj of all steps here: 0, (B,)."""
    x = torch.cat(pair, dim=1)
    return x, x.new_zeros(x.shape[0])
