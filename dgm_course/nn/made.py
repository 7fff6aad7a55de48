"""MADE: one network pass for all the conditionals p(x_i | x_1, ..., x_{i-1}).

Germain, Gregor, Murray and Larochelle, "MADE: Masked Autoencoder for
Distribution Estimation", 2015.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..sight import holds, in_sight, with_values
from . import triangular

# products a sample must be spared before blocks of rows are faster
ENOUGH = 50_000


class MaskedLinear(nn.Linear):
    """A linear layer in which a mask switches weights off.

    Args:
        mask: (outputs, inputs), true where a weight may act.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        # a buffer, to move with the weights; not saved, since the
        # constructor's arguments fix it
        mask = with_values(mask.to(self.weight))
        self.register_buffer("mask", mask, persistent=False)
        self.stairs = triangular.stairs(mask)

    def masked_weight(self) -> Tensor:
        """Return the weights that act, (outputs, inputs)."""
        return self.mask * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        return F.linear(x, self.masked_weight(), self.bias)

    def without_zeros(self) -> Callable[[Tensor], Tensor]:
        """Return the same map as a function that leaves the zeros out."""
        weight, bias, cut = self.masked_weight(), self.bias, self.stairs
        return lambda x: triangular.linear(x, weight, bias, cut)


class MADE(nn.Module):
    """A network whose outputs number i depend on x_1, ..., x_{i-1} alone.

    Every unit has a degree d and sees x_1, ..., x_d at most: input i has
    degree i, a hidden unit is connected to the units below it of degree <= its
    own, and the outputs number i to those of degree < i (section 4).

    The hidden units stand in the order of their degrees. So what is known
    once x_1, ..., x_d are is the beginning of every layer, which
    :func:`~dgm_course.nn.made_inverse.blocked` lives on. The order of the
    variables themselves is that of the columns of x; put a permutation before
    the network to change it.

    Args:
        dim: Number of variables D.
        hidden: Widths of the hidden layers; any, also less than D.
        outputs: Parameters P of each conditional.
        context: Width of an optional vector that every output may depend on.
        activation: Module class of an elementwise function.
        residual: Add to each hidden layer after the first the one below it;
            the hidden layers must have one width.
        degrees: One list per hidden layer with the degrees of its units, in
            increasing order. By default they are spread evenly over
            1, ..., D - 1; from 0, the units that see the context alone,
            where there is one.

    Raises:
        ValueError: If a width is below 1, or a degree list has a wrong
            length, is not in order, or would let an output see its own
            variable.

    Shape:
        (B, D) and, where ``context > 0``, (B, context) to (P, B, D): entry
        [p, b, i] is parameter p of variable i, so that for P = 2
        ``mean, log_scale = made(x)``.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int],
        outputs: int = 1,
        context: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
        residual: bool = False,
        degrees: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        at_least(1, dim=dim, outputs=outputs, hidden=min(hidden, default=1))
        at_least(0, context=context)
        self.dim, self.outputs, self.residual = dim, outputs, residual
        if degrees is None:
            low = 0 if context or dim == 1 else 1
            degrees = [spread(low, dim, width) for width in hidden]
        _check_degrees(dim, hidden, degrees, residual)
        # of every layer that another one reads: the inputs, then the hidden
        self.degrees = [list(range(1, dim + 1)), *map(list, degrees)]
        # for each d, how many units of each layer x_1, ..., x_d determine
        self._known = [
            [bisect_right(row, d) for row in self.degrees]
            for d in range(dim + 1)
        ]
        if activation is nn.ReLU:
            # the sums below it are read by nobody else
            activation = partial(nn.ReLU, inplace=True)
        self.activation = activation()

        columns = [torch.tensor(d) for d in self.degrees]
        masks = [b[:, None] >= a for a, b in pairwise(columns)]
        last = columns[0][:, None] > columns[-1]
        masks.append(last.repeat_interleave(outputs, dim=0))
        layers = [MaskedLinear(mask) for mask in masks]
        self._spared = sum(layer.stairs.spared() for layer in layers)
        self.layers: Any = nn.ModuleList(layers)
        self.context = None
        if context:
            self.context = nn.Linear(context, len(masks[0]), bias=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the parameters of all conditionals, (P, B, D).

        Raises:
            ValueError: If x or context has a wrong shape or dtype, or, on a
                CPU, holds values that are not finite: times a weight that is
                masked to zero, they would still be NaN in outputs that must
                not see them. An accelerator, which would have to wait for
                this answer, returns that NaN.
        """
        self.check(x, context)
        shift = None if self.context is None else self.context(context)
        if self._skips_zeros(x):
            layers = [layer.without_zeros() for layer in self.layers]
            parts = x.split(triangular.SAMPLES)
            shifts = [None] * len(parts)
            if shift is not None:
                shifts = shift.split(triangular.SAMPLES)
            h = torch.cat([self._pass(layers, *p) for p in zip(parts, shifts)])
        else:
            h = self._pass(self.layers, x, shift)
        return h.view(x.shape[0], self.dim, self.outputs).movedim(2, 0)

    def _pass(self, layers: Any, x: Tensor, shift: Tensor | None) -> Tensor:
        """Apply the layers in turn; the shift enters the first one."""
        first, *others = layers
        h = first(x)
        if shift is not None:
            h = h + shift
        below: Tensor | float = 0.0
        for layer in others:
            h = self.activation(h)
            if self.residual:
                h = h + below
                below = h
            h = layer(h)
        return h

    def _skips_zeros(self, x: Tensor) -> bool:
        """Return whether that is less work, and possible."""
        if self._spared < ENOUGH:
            return False
        # in this order: an exported graph must not depend on the batch
        possible = triangular.possible(x, self.layers[0].weight)
        return possible and x.shape[0] >= triangular.SAMPLES

    def known(self, d: int) -> list[int]:
        """Count the units of each layer that x_1, ..., x_d determine."""
        return [*self._known[d]]

    def check(self, x: Tensor, context: Tensor | None, name: str = "x") -> None:
        """Refuse a batch that this network cannot make sense of.

        Raises:
            ValueError: Naming the argument, its value and what was expected.
        """
        self._check_one(name, x, self.dim)
        width = self.context.in_features if self.context is not None else 0
        if context is not None and width:
            self._check_one("context", context, width)
        if (context is not None) != (width > 0) or (
            context is not None and context.shape[0] != x.shape[0]
        ):
            given = None if context is None else tuple(context.shape)
            wanted = (x.shape[0], width) if width else None
            raise ValueError(
                f"context has shape {given}; this network expects {wanted}"
            )

    def _check_one(self, name: str, x: Tensor, width: int) -> None:
        weight = self.layers[0].weight
        if x.ndim != 2 or x.shape[1] != width:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; this network expects "
                f"(B, {width})"
            )
        if x.dtype != weight.dtype:
            raise ValueError(
                f"{name} holds {x.dtype} values; this network computes in "
                f"{weight.dtype}: use {name}.to({weight.dtype})"
            )
        if not in_sight(x):
            return
        # the sum is cheap; it may overflow, so each value has to confirm
        if holds(~x.sum().isfinite()) and holds(~x.isfinite().all()):
            finite = x.isfinite()
            row, column = (~finite).nonzero()[0].tolist()
            raise ValueError(
                f"{name}[{row}, {column}] = {x[row, column].item()}; expected "
                f"finite values, and {(~finite).sum().item()} of {x.numel()} "
                "are not"
            )


def spread(low: int, high: int, count: int) -> list[int]:
    """Return ``count`` integers in [low, high), as even as can be, in order.

    Example:
        >>> spread(1, 4, 7)
        [1, 1, 1, 2, 2, 3, 3]
    """
    return [low + k * (high - low) // count for k in range(count)]


def _check_degrees(
    dim: int,
    hidden: Sequence[int],
    degrees: Sequence[Sequence[int]],
    residual: bool,
) -> None:
    given = [len(d) for d in degrees]
    if given != list(hidden):
        raise ValueError(
            f"degrees has lists of lengths {given}; expected one degree per "
            f"hidden unit, {list(hidden)}"
        )
    for i, row in enumerate(degrees):
        if list(row) != sorted(row):
            raise ValueError(
                f"degrees[{i}] = {list(row)}; expected increasing order"
            )
        if row[0] < 0 or row[-1] >= dim:
            raise ValueError(
                f"degrees[{i}] holds {row[0] if row[0] < 0 else row[-1]}; "
                f"expected 0, ..., {dim - 1}: a unit that sees x_1, ..., "
                f"x_{dim} may be seen by no output"
            )
    for i, (below, above) in enumerate(pairwise(degrees) if residual else ()):
        if len(below) != len(above):
            raise ValueError(
                f"hidden = {list(hidden)}; residual connections need hidden "
                "layers of one width"
            )
        for unit, (a, b) in enumerate(zip(below, above)):
            if a > b:
                raise ValueError(
                    f"degrees[{i + 1}][{unit}] = {b}, but the residual "
                    f"connection adds a unit of degree {a} to it; expected "
                    f"at least {a}, or outputs see their own variable"
                )
