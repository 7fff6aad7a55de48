"""Reversible networks: activations are computed again, not stored."""

from .irevnet import IRevNet
from .revnet import ResNet, RevNet
from .sequence import HalfStep, ReversibleBlock, ReversibleSequence

__all__ = [
    "HalfStep",
    "IRevNet",
    "ResNet",
    "RevNet",
    "ReversibleBlock",
    "ReversibleSequence",
]
