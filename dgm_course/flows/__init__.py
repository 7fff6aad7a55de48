"""Normalizing flows: one paper a file, all with the pair (value, ladj)."""

from .base import (
    Base,
    Compose,
    Flow,
    FlowModel,
    Inverse,
    OneWay,
    StandardLogistic,
    StandardNormal,
)
from .conditionals import (
    Affine,
    Chain,
    Conditional,
    ScaleShift,
    Shift,
)
from .coupling import (
    Channels,
    Checkerboard,
    Coupling,
    Halves,
    PackedCheckerboard,
    Partition,
)
from .flowpp import flowpp
from .glow import ActNorm, InvertibleConv, glow
from .histogram import Histogram
from .layers import (
    ElementwiseAffine,
    Logit,
    Permutation,
    TriangularAffine,
)
from .maf import IAF, MAF, coupling_as_iaf, maf
from .mixtures import GaussianMixture, LogisticMixture
from .multiscale import Flatten, MultiScale, Squeeze
from .nice import AdditiveCoupling, nice
from .planar import Planar
from .realnvp import AffineCoupling, BatchNorm, realnvp, realnvp_pictures
from .sylvester import Sylvester
from .tarflow import PatchMAF, tarflow

__all__ = [
    "IAF",
    "MAF",
    "ActNorm",
    "AdditiveCoupling",
    "Affine",
    "AffineCoupling",
    "Base",
    "BatchNorm",
    "Chain",
    "Channels",
    "Checkerboard",
    "Compose",
    "Conditional",
    "Coupling",
    "ElementwiseAffine",
    "Flatten",
    "Flow",
    "FlowModel",
    "GaussianMixture",
    "Halves",
    "Histogram",
    "Inverse",
    "InvertibleConv",
    "LogisticMixture",
    "Logit",
    "MultiScale",
    "OneWay",
    "PackedCheckerboard",
    "Partition",
    "PatchMAF",
    "Permutation",
    "Planar",
    "ScaleShift",
    "Shift",
    "Squeeze",
    "StandardLogistic",
    "StandardNormal",
    "Sylvester",
    "TriangularAffine",
    "coupling_as_iaf",
    "flowpp",
    "glow",
    "maf",
    "nice",
    "realnvp",
    "realnvp_pictures",
    "tarflow",
]
