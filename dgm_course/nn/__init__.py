"""Networks: functions with parameters, and no probability in them."""

from . import made_inverse
from .amortized import Amortized
from .attention import SelfAttention
from .borrowed import Borrowed
from .conv import ConvNet, conv
from .made import MADE, MaskedLinear
from .mlp import MLP
from .norm import BatchNorm2d, channel_moments
from .outputs import bounded, per_value
from .residual import GatedNet, GatedResidual
from .transformer import Memory, TransformerBlock, causal

__all__ = [
    "MADE",
    "MLP",
    "Amortized",
    "BatchNorm2d",
    "Borrowed",
    "ConvNet",
    "GatedNet",
    "GatedResidual",
    "MaskedLinear",
    "Memory",
    "SelfAttention",
    "TransformerBlock",
    "bounded",
    "causal",
    "channel_moments",
    "conv",
    "made_inverse",
    "per_value",
]
