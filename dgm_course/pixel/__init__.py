"""Autoregressive models of pictures, one file for each model of Table 1."""

from .base import PixelModel, Step
from .gated import GatedLayer, GatedPixelCNN
from .image_transformer import Blocks, ImageTransformer
from .pixelcnn import MaskedConv, PixelCNN, Residual
from .pixelcnnpp import Path, PixelCNNPP
from .places import ColourHead, OrderedModel, PlaceNet
from .sampling import CausalNet, Half, Stream
from .snail import (
    AttentionBlock,
    AttentiveStream,
    PixelSNAIL,
    Seen,
    Surroundings,
)

__all__ = [
    "AttentionBlock",
    "AttentiveStream",
    "Blocks",
    "CausalNet",
    "ColourHead",
    "GatedLayer",
    "GatedPixelCNN",
    "Half",
    "ImageTransformer",
    "MaskedConv",
    "OrderedModel",
    "Path",
    "PixelCNN",
    "PixelCNNPP",
    "PixelModel",
    "PixelSNAIL",
    "PlaceNet",
    "Residual",
    "Seen",
    "Step",
    "Stream",
    "Surroundings",
]
