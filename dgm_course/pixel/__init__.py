"""Autoregressive models of pictures, one file for each model of Table 1."""

from .base import PixelModel, Step
from .gated import GatedLayer, GatedPixelCNN
from .image_transformer import Blocks, ImageTransformer
from .multiscale import Corner, Multiscale
from .pixelcnn import MaskedConv, PixelCNN, Residual, masked
from .pixelcnnpp import Path, PixelCNNPP
from .pixelrnn import DiagonalBiLSTM, PixelRNN, RowLSTM
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
    "Corner",
    "DiagonalBiLSTM",
    "GatedLayer",
    "GatedPixelCNN",
    "Half",
    "ImageTransformer",
    "MaskedConv",
    "Multiscale",
    "OrderedModel",
    "Path",
    "PixelCNN",
    "PixelCNNPP",
    "PixelModel",
    "PixelRNN",
    "PixelSNAIL",
    "PlaceNet",
    "Residual",
    "RowLSTM",
    "Seen",
    "Step",
    "Stream",
    "Surroundings",
    "masked",
]
