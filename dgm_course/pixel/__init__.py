"""Autoregressive models of pictures, one file for each model of Table 1."""

from .base import PixelModel
from .gated import GatedLayer, GatedPixelCNN
from .pixelcnn import MaskedConv, PixelCNN, Residual
from .pixelcnnpp import Path, PixelCNNPP
from .sampling import CausalNet, Half, Stream

__all__ = [
    "CausalNet",
    "GatedLayer",
    "GatedPixelCNN",
    "Half",
    "MaskedConv",
    "Path",
    "PixelCNN",
    "PixelCNNPP",
    "PixelModel",
    "Residual",
    "Stream",
]
