"""Networks: functions with parameters, and no probability in them."""

from .mlp import MLP

__all__ = ["MLP"]
