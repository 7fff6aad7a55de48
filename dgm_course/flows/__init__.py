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
from .conditionals import Affine, Conditional, GaussianMixture
from .histogram import Histogram
from .layers import (
    ElementwiseAffine,
    Logit,
    Permutation,
    TriangularAffine,
)
from .maf import IAF, MAF, coupling_as_iaf, maf
from .nice import AdditiveCoupling, nice
from .realnvp import AffineCoupling, realnvp

__all__ = [
    "IAF",
    "MAF",
    "AdditiveCoupling",
    "Affine",
    "AffineCoupling",
    "Base",
    "Compose",
    "Conditional",
    "ElementwiseAffine",
    "Flow",
    "FlowModel",
    "GaussianMixture",
    "Histogram",
    "Inverse",
    "Logit",
    "Permutation",
    "StandardLogistic",
    "StandardNormal",
    "TriangularAffine",
    "coupling_as_iaf",
    "maf",
    "nice",
    "realnvp",
]
