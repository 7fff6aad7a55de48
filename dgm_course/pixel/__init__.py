"""Autoregressive models of pictures, one file for each model of Table 1."""

from .base import PixelModel
from .pixelcnn import MaskedConv, PixelCNN

__all__ = ["MaskedConv", "PixelCNN", "PixelModel"]
