"""Products with triangular matrices that leave the zeros out.

The mask of a MADE (chapter 4) has the shape of a staircase: the first rows see
the first inputs only, and later rows see more. Cut into blocks of rows, each of
which ends behind the last input that it sees, the product costs little more
than half.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from ..sight import in_sight

# of rows: more of them would spare more, but each be slower
BLOCKS = 4
# the units of two layers for this many samples stay in a processor's cache
SAMPLES = 512


class Stairs(NamedTuple):
    """How a matrix is cut into blocks of rows.

    Attributes:
        rows: The number of rows in each.
        seen: How many inputs, counted from the first, they see.
        new: How many of these no block before sees.
    """

    rows: list[int]
    seen: list[int]
    new: list[int]

    def spared(self) -> int:
        """Return how many products of two numbers a sample is spared."""
        used = sum(a * b for a, b in zip(self.rows, self.seen))
        return sum(self.rows) * self.seen[-1] - used


def stairs(mask: Tensor) -> Stairs:
    """Cut a matrix into :data:`BLOCKS` blocks of rows.

    Args:
        mask: (outputs, inputs), not zero where a weight may act. Any is
            allowed; a staircase leaves out most.
    """
    outputs, inputs = mask.shape
    cuts = [outputs * k // BLOCKS for k in range(BLOCKS + 1)]
    places = torch.arange(1, inputs + 1, device=mask.device)
    reach = (places * (mask != 0)).amax(1).tolist()
    # every input belongs to a block, so that each of them has a gradient
    ends = [max(reach[:cut], default=0) for cut in cuts[:-1]] + [inputs]
    rows, new = ([b - a for a, b in pairwise(c)] for c in (cuts, ends))
    return Stairs(rows, ends[1:], new)


def possible(x: Tensor, *others: Tensor) -> bool:
    """Return whether blocks can be written one by one for these tensors.

    An accelerator is faster with one product, a compiler fuses what it sees
    as one, and neither autocast nor the transforms of ``torch.func`` reach
    what is written in place.
    """
    return (
        in_sight(x)
        and not torch.is_autocast_enabled("cpu")
        # torch 2.4 has no torch.func.debug_unwrap, which asks just this
        and not any(map(is_functorch_wrapped_tensor, (x, *others)))
    )


class _Linear(torch.autograd.Function):
    """See :func:`linear`."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, cut: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.cut = cut
        out = x.new_empty(len(x), len(weight))
        blocks = zip(out.split(cut.rows, 1), weight.split(cut.rows), cut.seen)
        for some, w, seen in blocks:
            torch.mm(x[:, :seen], w[:, :seen].T, out=some)
        return out.add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, weight = ctx.saved_tensors
        to_bias = gradient.sum(0)
        # whoever differentiates this, or asks for many at once
        # (is_grads_batched), cannot have it written in place
        if torch.is_grad_enabled() or _batched(gradient):
            return gradient @ weight, gradient.T @ x, to_bias, None
        to_x, to_weight = torch.empty_like(x), torch.zeros_like(weight)
        rows, seen, new = ctx.cut
        blocks = zip(gradient.split(rows, 1), to_weight.split(rows), seen)
        for some, w, end in blocks:
            torch.mm(some.T, x[:, :end], out=w[:, :end])
        first = 0
        columns = zip(to_x.split(new, 1), weight.split(new, 1), rows)
        for some, w, height in columns:
            # later rows see what these are the first to see
            torch.mm(gradient[:, first:], w[first:], out=some)
            first += height
        return to_x, to_weight, to_bias, None


def _batched(gradient: Tensor) -> bool:
    """Return whether this stands for many gradients: it has no data then."""
    try:
        gradient.data_ptr()
    except RuntimeError:
        return True
    return False


def linear(x: Tensor, weight: Tensor, bias: Tensor, cut: Stairs) -> Tensor:
    """Return ``x @ weight.T + bias``, (B, outputs).

    Args:
        x: (B, inputs), for which :func:`possible` is true.
        weight: (outputs, inputs), zero outside of its blocks, where its
            gradient is not computed.
        bias: (outputs,).
        cut: From :func:`stairs`.
    """
    return _Linear.apply(x, weight, bias, cut)
