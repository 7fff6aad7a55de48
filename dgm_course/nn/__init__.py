"""Networks: functions with parameters, and no probability in them."""

from . import made_inverse
from .made import MADE, MaskedLinear
from .mlp import MLP

__all__ = ["MADE", "MLP", "MaskedLinear", "made_inverse"]
