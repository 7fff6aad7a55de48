"""NICE: additive couplings, the first normalizing flow with deep networks.

Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components
Estimation", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nn import MLP
from .base import Compose, Flow, FlowModel, StandardLogistic
from .layers import ElementwiseAffine, Permutation


class AdditiveCoupling(Flow):
    """z1 = x1, z2 = x2 + F(x1): volume preserving, ladj = 0 (section 3.2).

    x1 holds the first ceil(D/2) columns and x2 the others.

    Args:
        dim: Number of columns D, at least 2.
        hidden: Widths of the hidden layers of F.
        swap: Change x1 given x2 instead.
        context: Width of an optional context vector.

    Raises:
        ValueError: If there are fewer than 2 columns.
    """

    outputs_per_column = 1

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        swap: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        if dim < 2:
            raise ValueError(
                f"dim = {dim}: a coupling needs at least 2 columns, one to "
                "keep and one to change"
            )
        self.sizes = [dim - dim // 2, dim // 2]
        self.swap = swap
        kept, changed = self.sizes[::-1] if swap else self.sizes
        outputs = self.outputs_per_column * changed
        self.net = MLP(kept, hidden, outputs, context=context, zero=True)

    def forward(self, x, context=None):
        """Add F(kept half) to the other half."""
        kept, changed = self.split(x)
        z = self.join(kept, changed + self.net(kept, context))
        return z, x.new_zeros(len(x))

    def inverse(self, z, context=None):
        """Subtract F(kept half) from the other half: F is not inverted."""
        kept, changed = self.split(z)
        x = self.join(kept, changed - self.net(kept, context))
        return x, z.new_zeros(len(z))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the half that is kept and the half that changes."""
        first, second = x.split(self.sizes, dim=1)
        return (second, first) if self.swap else (first, second)

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Undo :meth:`split`."""
        halves = (changed, kept) if self.swap else (kept, changed)
        return torch.cat(halves, dim=1)


def nice(
    dim: int, layers: int = 4, hidden: Sequence[int] = (1000,) * 5
) -> FlowModel:
    """Assemble NICE: couplings on even and odd columns, then a scaling.

    The defaults are the paper's MNIST model (section 5.1): four couplings,
    five hidden layers of 1000 units, logistic base.

    Args:
        dim: Number of columns D.
        layers: Number of couplings; three are needed for every column to
            depend on every other.
        hidden: Widths of the hidden layers of each coupling.
    """
    couplings = [
        AdditiveCoupling(dim, hidden, swap=bool(i % 2)) for i in range(layers)
    ]
    flow = Compose(
        Permutation.even_first(dim), *couplings, ElementwiseAffine(dim)
    )
    return FlowModel(flow, StandardLogistic(dim))
