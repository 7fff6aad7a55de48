"""Glow: normalization by data, 1x1 convolutions, couplings of channels.

Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1
Convolutions", 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..limits import at_least
from ..nn import ConvNet, channel_moments
from .base import Compose, Flow, FlowModel, StandardNormal, WithLadj
from .conditionals import Affine, ScaleShift
from .coupling import Channels, Coupling
from .layers import Logit, per_channel
from .multiscale import MultiScale, Squeeze


class ActNorm(Flow):
    """z = (x + shift) * exp(log_scale), one pair for each channel.

    The first batch that it sees in training mode sets both, so that each
    channel of that batch has mean 0 and variance 1; from then on they are
    trained like any other parameter (section 3.1). That this has happened is
    saved with the weights. Under several processes the statistics are those
    of all their batches together.

    Args:
        channels: Channels of the pictures.

    Shape:
        (B, channels, H, W), or vectors (B, channels).
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialized", torch.tensor(False))
        # in this process; the buffer would have to be waited for on a GPU
        self._asked = False

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Shift, then scale."""
        if self.training and not self._asked:
            self._initialize(x)
        shift, log_scale = per_channel(x, self.shift, self.log_scale)
        ladj = self.log_scale.sum() * x[0, 0].numel()
        return (x + shift) * log_scale.exp(), ladj.expand(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Scale back, then shift back; this never sets them."""
        shift, log_scale = per_channel(z, self.shift, self.log_scale)
        ladj = -self.log_scale.sum() * z[0, 0].numel()
        return z * (-log_scale).exp() - shift, ladj.expand(z.shape[0])

    @torch.no_grad()
    def _initialize(self, x: Tensor) -> None:
        """Set shift and scale, unless weights were loaded that have them."""
        mean, variance, _ = channel_moments(x)
        found = -mean, -0.5 * (variance + 1e-6).log()
        for parameter, value in zip((self.shift, self.log_scale), found):
            # no branch: the flag stays on the device
            parameter.copy_(torch.where(self.initialized, parameter, value))
        self.initialized.fill_(True)
        self._asked = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._asked = False  # ask the flag that was just loaded


class InvertibleConv(Flow):
    """A 1x1 convolution with an invertible matrix W = P L (U + diag(s)).

    P is a fixed permutation, L is lower and U upper triangular, with ones and
    zeros on their diagonals; the signs of s are fixed. So log|det W| is the
    sum of log|s|, and W can never become singular (section 3.2, eq. 10 and
    11). It starts as a random rotation.

    Args:
        channels: Channels of the pictures.

    Shape:
        (B, channels, H, W), or vectors (B, channels).
    """

    order: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels).double()).Q
        p, lower, upper = torch.linalg.lu(rotation)
        s = upper.diagonal()
        # row i of P L is row order[i] of L
        self.register_buffer("order", p.argmax(1))
        self.register_buffer("sign", s.sign().float())
        self.log_size = nn.Parameter(s.abs().log().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Multiply the channels of each place by W."""
        with full_precision(x):
            lower, upper = self.factors()
            matrix = (lower @ upper)[self.order]
            z = torch.einsum("ij,bj...->bi...", matrix, x)
        return z, self._ladj(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Solve two triangular systems."""
        lower, upper = self.factors()
        right = z.flatten(2) if z.ndim > 2 else z[:, :, None]
        right = right[:, self.order.argsort()]
        solve = torch.linalg.solve_triangular
        right = solve(lower, right, upper=False, unitriangular=True)
        x = solve(upper, right, upper=True)
        return x.view(z.shape), -self._ladj(z)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return L and U + diag(s), (channels, channels) each."""
        one = torch.ones_like(self.log_size)
        s = self.sign * self.log_size.exp()
        lower = self.lower.tril(-1) + one.diag()
        return lower, self.upper.triu(1) + s.diag()

    def _ladj(self, x: Tensor) -> Tensor:
        return (self.log_size.sum() * x[0, 0].numel()).expand(x.shape[0])


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Leave autocast: a map rounded to bfloat16 would lose its noise.

    Networks may be rounded: what they say is a function of what is kept.

    Args:
        x: A tensor of any shape, on the device of the map.
    """
    kind = x.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def glow(
    shape: tuple[int, ...],
    steps: Sequence[int] = (4, 4),
    hidden: int = 64,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble a multi-scale Glow for pictures (figure 2).

    Each level squeezes and makes steps of flow: ActNorm, a 1x1 convolution,
    an affine coupling. Before half of its channels become noise, a last
    coupling shifts and scales that half given the other: what the authors'
    code learns as a prior of the split.

    Args:
        shape: (C, H, W) of one picture, H and W multiples of 2**levels.
        steps: Steps of flow of each level.
        hidden: Channels of the hidden layers of the couplings.
        preprocess: Applied to the pixels first; None for
            :class:`~dgm_course.flows.layers.Logit`, for bytes.

    Raises:
        ValueError: If a number is below 1.
    """
    at_least(1, steps=min(steps, default=0))
    levels: list[Flow] = []
    size = shape
    for level, count in enumerate(steps):
        squeeze = Squeeze()
        channels, *sides = squeeze.output_shape(size)
        parts: list[Flow] = [squeeze]
        for _ in range(count):
            parts += [
                ActNorm(channels),
                InvertibleConv(channels),
                _coupling(channels, hidden, ScaleShift()),
            ]
        if level + 1 < len(steps):
            parts.append(_coupling(channels, hidden, Affine()))
        levels.append(Compose(*parts))
        size = channels // 2, *sides
    first = Logit() if preprocess is None else preprocess
    flow = Compose(first, MultiScale(levels, shape))
    return FlowModel(flow, StandardNormal(math.prod(shape)))


def _coupling(
    channels: int, hidden: int, conditional: Affine | ScaleShift
) -> Coupling:
    changed = channels // 2
    outputs = conditional.outputs * changed
    net = ConvNet(channels - changed, hidden, outputs)
    return Coupling(Channels(), net, conditional)
