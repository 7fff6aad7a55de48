"""NICE: additive couplings, the first normalizing flow with deep networks.

Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components
Estimation", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..limits import at_least
from ..nn import MLP
from .base import Compose, FlowModel, StandardLogistic
from .conditionals import Shift
from .coupling import Coupling, Halves
from .layers import ElementwiseAffine, Permutation


class AdditiveCoupling(Coupling):
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

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        swap: bool = False,
        context: int = 0,
    ) -> None:
        halves = Halves(dim, swap)
        net = MLP(halves.kept, hidden, halves.changed, context, zero=True)
        super().__init__(halves, net, Shift())


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

    Raises:
        ValueError: If a number is below 1.
    """
    at_least(1, layers=layers)
    couplings = [
        AdditiveCoupling(dim, hidden, swap=bool(i % 2)) for i in range(layers)
    ]
    flow = Compose(
        Permutation.even_first(dim), *couplings, ElementwiseAffine(dim)
    )
    return FlowModel(flow, StandardLogistic(dim))
