"""RealNVP: affine couplings, for vectors and for pictures.

Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..limits import at_least
from ..nn import MLP, ConvNet, channel_moments
from .base import Compose, Flow, FlowModel, StandardNormal, WithLadj
from .conditionals import ScaleShift
from .coupling import Channels, Coupling, Halves, PackedCheckerboard
from .layers import ElementwiseAffine, Logit, Permutation, per_channel
from .multiscale import MultiScale, Squeeze


class AffineCoupling(Coupling):
    """z1 = x1, z2 = x2 * exp(s(x1)) + t(x1), ladj = sum s(x1) (eq. 7, 8).

    Arguments: see :class:`~dgm_course.flows.nice.AdditiveCoupling`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        swap: bool = False,
        context: int = 0,
    ) -> None:
        halves = Halves(dim, swap)
        net = MLP(halves.kept, hidden, 2 * halves.changed, context, zero=True)
        super().__init__(halves, net, ScaleShift())


def realnvp(
    dim: int,
    layers: int = 8,
    hidden: Sequence[int] = (256, 256),
    context: int = 0,
    shuffle: bool = False,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble a RealNVP for vectors, with a standard normal base.

    Args:
        dim: Number of columns D.
        layers: Number of affine couplings, alternating between the halves.
        hidden: Widths of the hidden layers of each coupling.
        context: Width of an optional context vector.
        shuffle: Put a fixed random permutation before every second coupling,
            so that the halves change.
        preprocess: Applied to the data first, such as
            :class:`~dgm_course.flows.layers.Logit` for pixels.

    Raises:
        ValueError: If there is no coupling, or the context has no width.
    """
    at_least(1, layers=layers)
    at_least(0, context=context)
    flows: list[Flow] = [] if preprocess is None else [preprocess]
    flows.append(ElementwiseAffine(dim))
    for i in range(layers):
        if shuffle and i % 2 == 0:
            flows.append(Permutation.random(dim, seed=i))
        flows.append(AffineCoupling(dim, hidden, bool(i % 2), context))
    return FlowModel(Compose(*flows), StandardNormal(dim))


class BatchNorm(Flow):
    """z = (x - mean) / sqrt(variance + eps), for each channel (eq. 17).

    In training, mean and variance are those of the batch: rows depend on each
    other, and what comes out is an estimate. In evaluation they are averages
    over past batches, which are constants: the map is invertible and its
    log-determinant exact. Under several processes the batch is that of all.

    Args:
        channels: Channels of the pictures.
        momentum: Weight of the newest batch in the averages.
        eps: Added to each variance.

    Shape:
        (B, channels, H, W), or vectors (B, channels).
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self, channels: int, momentum: float = 0.05, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Subtract the mean, divide by the standard deviation."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance, _ = channel_moments(x)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        log_std = 0.5 * (variance + self.eps).log()
        mean, log_std = per_channel(x, mean, log_std)
        ladj = -log_std.sum() * x[0, 0].numel()
        return (x - mean) * (-log_std).exp(), ladj.expand(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Multiply by the standard deviation, add the mean: the averages."""
        log_std = 0.5 * (self.variance + self.eps).log()
        mean, log_std = per_channel(z, self.mean, log_std)
        ladj = log_std.sum() * z[0, 0].numel()
        return z * log_std.exp() + mean, ladj.expand(z.shape[0])


def realnvp_pictures(
    shape: tuple[int, ...],
    scales: int = 2,
    hidden: int = 32,
    couplings: int = 3,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble the multi-scale RealNVP for pictures (section 3.6).

    At each scale: couplings of a checkerboard, a squeeze, couplings of
    channels; then half of the channels become noise. The last scale has
    couplings of a checkerboard alone, one more of them. Each is followed by
    :class:`BatchNorm`. The paper's networks are residual ones; ours have three
    convolutions, and see a checkerboard packed, at half the cost.

    Args:
        shape: (C, H, W) of one picture, H and W multiples of 2**scales.
        scales: Number of scales.
        hidden: Channels of the hidden layers at the first scale, doubled at
            each squeeze.
        couplings: Number of couplings between two changes of shape.
        preprocess: Applied to the pixels first; None for
            :class:`~dgm_course.flows.layers.Logit`, for bytes.

    Raises:
        ValueError: If a number is below 1.
    """
    at_least(1, scales=scales, couplings=couplings)
    levels: list[Flow] = []
    size = shape
    for scale in range(scales):
        last = scale + 1 == scales
        channels, width = size[0], hidden * 2**scale
        parts: list[Flow] = []
        for i in range(couplings + last):
            net = ConvNet(channels, width, 2 * channels)
            board = PackedCheckerboard(swap=bool(i % 2))
            parts += [Coupling(board, net, ScaleShift()), BatchNorm(channels)]
        if not last:
            squeeze = Squeeze()
            parts.append(squeeze)
            channels, *_ = size = squeeze.output_shape(size)
            for i in range(couplings):
                # 4 C channels: both halves are equal
                net = ConvNet(channels // 2, 2 * width, channels)
                half = Channels(swap=bool(i % 2))
                parts += [
                    Coupling(half, net, ScaleShift()),
                    BatchNorm(channels),
                ]
            size = channels // 2, *size[1:]
        levels.append(Compose(*parts))
    first = Logit() if preprocess is None else preprocess
    flow = Compose(first, MultiScale(levels, shape))
    return FlowModel(flow, StandardNormal(math.prod(shape)))
