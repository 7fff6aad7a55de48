"""Planar flows: push along one direction, by an amount that another decides.

Rezende and Mohamed, "Variational inference with normalizing flows", 2015.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn import Amortized
from .base import OneWay, WithLadj


class Planar(OneWay):
    """x = z + u tanh(w.z + b), det = 1 + w.u tanh'(w.z + b) (eq. 10 to 12).

    The map is one to one exactly if w.u >= -1. So u is moved along w until
    w.u = softplus(w.u + log(e - 1)) - 1 > -1 (appendix A.1, with a shift that
    leaves u = 0 where it is). Starts as the identity.

    Args:
        dim: Number of columns D.
        context: Width of a context vector that u, w and b are computed from;
            0 for one map for all rows.
    """

    shift = math.log(math.e - 1)

    def __init__(self, dim: int, context: int = 0) -> None:
        super().__init__()
        w = torch.randn(dim) / math.sqrt(dim)
        start = torch.cat([torch.zeros(dim), w, torch.zeros(1)])
        self.amortized = Amortized(start, (dim, dim, 1), context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data: push each row along its u."""
        u, w, b = self.amortized(z.shape[0], context)
        along = (w * u).sum(1, keepdim=True)
        least = torch.finfo(z.dtype).tiny  # w = 0 leaves u alone
        square = w.square().sum(1, keepdim=True).clamp(min=least)
        slope = F.softplus(along + self.shift)  # of the map along w: 1 + w.u
        u = u + (slope - 1 - along) * w / square
        t = torch.tanh((w * z).sum(1, keepdim=True) + b)
        # 1 + w.u (1 - t^2) without a difference: it cannot round to 0
        det = t.square() + slope * (1 - t.square())
        return z + u * t, det.log().squeeze(1)
