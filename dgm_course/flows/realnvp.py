"""RealNVP: affine couplings, for data that are vectors.

Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Compose, Flow, FlowModel, StandardNormal
from .layers import ElementwiseAffine, Permutation
from .nice import AdditiveCoupling


class AffineCoupling(AdditiveCoupling):
    """z1 = x1, z2 = x2 * exp(s(x1)) + t(x1), ladj = sum s(x1) (eq. 7, 8).

    The log-scale s is bounded: ``bound * tanh(raw / bound)``, so that no
    sample can make the map overflow. Arguments: see
    :class:`~dgm_course.flows.nice.AdditiveCoupling`.
    """

    outputs_per_column = 2
    bound = 3.0

    def forward(self, x, context=None):
        """Scale and shift one half, given the other."""
        kept, changed = self.split(x)
        s, t = self.scale_and_shift(kept, context)
        return self.join(kept, changed * s.exp() + t), s.sum(1)

    def inverse(self, z, context=None):
        """Shift and scale back; the networks run the same way as before."""
        kept, changed = self.split(z)
        s, t = self.scale_and_shift(kept, context)
        return self.join(kept, (changed - t) * (-s).exp()), -s.sum(1)

    def scale_and_shift(
        self, kept: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the log-scale and the shift of the half that changes."""
        raw, t = self.net(kept, context).chunk(2, dim=1)
        return self.bound * torch.tanh(raw / self.bound), t


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
