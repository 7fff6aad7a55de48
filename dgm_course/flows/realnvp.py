"""RealNVP: affine couplings, for data that are vectors.

Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import MLP
from .base import Compose, Flow, FlowModel, StandardNormal
from .conditionals import ScaleShift
from .coupling import Coupling, Halves
from .layers import ElementwiseAffine, Permutation


class AffineCoupling(Coupling):
    """z1 = x1, z2 = x2 * exp(s(x1)) + t(x1), ladj = sum s(x1) (eq. 7, 8).

    Arguments: see :class:`~dgm_course.flows.nice.AdditiveCoupling`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        swap: bool = False,
        context: int = 0,
    ) -> None:
        halves = Halves(dim, swap)
        net = MLP(halves.kept, hidden, 2 * halves.changed, context, zero=True)
        super().__init__(halves, net, ScaleShift())


def realnvp(
    dim: int,
    layers: int = 8,
    hidden: Sequence[int] = (256, 256),
    context: int = 0,
    shuffle: bool = False,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble a RealNVP for vectors, with a standard normal base.

    Args:
        dim: Number of columns D.
        layers: Number of affine couplings, alternating between the halves.
        hidden: Widths of the hidden layers of each coupling.
        context: Width of an optional context vector.
        shuffle: Put a fixed random permutation before every second coupling,
            so that the halves change.
        preprocess: Applied to the data first, such as
            :class:`~dgm_course.flows.layers.Logit` for pixels.
    """
    flows: list[Flow] = [] if preprocess is None else [preprocess]
    flows.append(ElementwiseAffine(dim))
    for i in range(layers):
        if shuffle and i % 2 == 0:
            flows.append(Permutation.random(dim, seed=i))
        flows.append(AffineCoupling(dim, hidden, bool(i % 2), context))
    return FlowModel(Compose(*flows), StandardNormal(dim))
