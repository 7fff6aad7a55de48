"""What is heard in a sound: power by time and frequency (chapter 6)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def power(y: Tensor, window: int = 256, hop: int = 128) -> Tensor:
    """Return the squared magnitudes of the short-time Fourier transform.

    Frame f belongs to samples f * hop to (f + 1) * hop, and its Hann window
    is centred on their middle; the sound is continued by zeros.

    Args:
        y: Sound, (B, T), where ``hop`` divides T.
        window: Samples of a frame.
        hop: Samples from one frame to the next, at most ``window``.

    Returns:
        (B, window / 2 + 1, T / hop), relative to a full-scale constant.

    Raises:
        ValueError: If T is no multiple of ``hop``.
    """
    if y.ndim != 2 or y.shape[1] % hop:
        raise ValueError(
            f"y has shape {tuple(y.shape)}; expected (B, T), T a multiple of "
            f"hop = {hop}"
        )
    outside = (window - hop) // 2
    padded = F.pad(y, (outside, window - hop - outside))
    shape = torch.hann_window(window, dtype=y.dtype, device=y.device)
    frames = padded.unfold(1, window, hop) * (shape / shape.sum())
    return torch.fft.rfft(frames).abs().square().movedim(1, 2)


def log_mel(
    y: Tensor, bands: int = 20, window: int = 256, hop: int = 128
) -> Tensor:
    """Return the logarithm of the power in bands of equal width in mel.

    Args:
        y: Sound at 8 kHz in [-1, 1], (B, T), where ``hop`` divides T.
        bands: Number of bands.
        window: Samples of a frame.
        hop: Samples from one frame to the next.

    Returns:
        (B, bands, T / hop), in nats; silence is log 1e-10.
    """
    return in_bands(power(y, window, hop), bands)


def in_bands(spectrum: Tensor, bands: int = 20) -> Tensor:
    """Sum powers (B, bins, F) over bands, (B, bands, F), and take logs."""
    weights = mel_bands(bands, spectrum.shape[1], spectrum)
    return (weights @ spectrum + 1e-10).log()


def mel_bands(bands: int, bins: int, like: Tensor) -> Tensor:
    """Return triangles that are evenly spaced in mel, (bands, bins).

    Each sums to one over frequencies, which go from 0 to 4,000 Hz.
    mel(f) = 2595 log10(1 + f / 700).

    Args:
        bands: Number of triangles.
        bins: Number of frequencies.
        like: Has the dtype and the device of the result.
    """
    made: Any = {"dtype": like.dtype, "device": like.device}
    top = math.log1p(4000 / 700)
    edges = 700 * torch.linspace(0, top, bands + 2, **made).expm1()
    f = torch.linspace(0, 4000, bins, **made)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (f - low) / (middle - low), (high - f) / (high - middle)
    weights = torch.minimum(rise, fall).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def features(y: Tensor) -> Tensor:
    """The condition of the networks here: log-mel bands, shifted and scaled.

    Args:
        y: Sound at 8 kHz in [-1, 1], (B, T), where 128 divides T.

    Returns:
        (B, 20, T / 128), between about -2 for silence and 2.
    """
    return (log_mel(y) + 14) / 4
