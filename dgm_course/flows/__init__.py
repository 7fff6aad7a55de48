"""Normalizing flows: one paper a file, all with the pair (value, ladj)."""

from .base import (
    Base,
    Compose,
    Flow,
    FlowModel,
    Inverse,
    StandardLogistic,
    StandardNormal,
)
from .layers import ElementwiseAffine, Logit, Permutation
from .nice import AdditiveCoupling, nice
from .realnvp import AffineCoupling, realnvp

__all__ = [
    "AdditiveCoupling",
    "AffineCoupling",
    "Base",
    "Compose",
    "ElementwiseAffine",
    "Flow",
    "FlowModel",
    "Inverse",
    "Logit",
    "Permutation",
    "StandardLogistic",
    "StandardNormal",
    "nice",
    "realnvp",
]
