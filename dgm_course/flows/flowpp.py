"""Flow++: couplings by mixtures of logistics, and learned noise for pixels.

Ho, Chen, Srinivas, Duan and Abbeel, "Flow++: Improving Flow-Based Generative
Models with Variational Dequantization and Architecture Design", 2019.
"""

from __future__ import annotations

import math

from ..limits import at_least
from ..nn import GatedNet
from .base import Compose, Flow, FlowModel, StandardLogistic
from .conditionals import Chain, Conditional, ScaleShift
from .coupling import Channels, Coupling, PackedCheckerboard, Partition
from .glow import ActNorm, InvertibleConv
from .layers import Logit
from .mixtures import LogisticMixture
from .multiscale import Flatten, Squeeze

# largest log-scale of a logistic: grey levels are exp(-5) standard deviations
# of a pixel apart where the logit is flattest, and a cube has an inside
BOUND = 7.0


def mixture_map(components: int) -> Conditional:
    """Return z = logit(F(x)) exp(a) + b, F a mixture of logistics (eq. 10).

    Args:
        components: Number K of logistics; 0 leaves z = x exp(a) + b, the map
            of RealNVP.
    """
    if components == 0:
        return ScaleShift()
    return Chain(LogisticMixture(components, BOUND), ScaleShift())


def flowpp(
    shape: tuple[int, ...],
    couplings: tuple[int, int, int] = (4, 2, 3),
    channels: int = 32,
    blocks: int = 1,
    components: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble Flow++ for pictures, with a logistic base.

    Couplings of a checkerboard at full size, then of channels and of a
    checkerboard at half of it (section 4.2). Before each stand
    :class:`~dgm_course.flows.glow.ActNorm` and, where there are several
    channels, an invertible 1x1 convolution.

    Args:
        shape: (C, H, W) of one picture, H even and W a multiple of 4.
        couplings: How many of each of the three kinds.
        channels: Channels of the couplings' networks.
        blocks: Gated blocks of each network.
        components: Logistics of each mixture; 0 for affine couplings.
        heads: Heads of the attention; 0 for networks of convolutions alone.
        dropout: Share of hidden values dropped in training.
        preprocess: Applied to the pixels first; None for
            :class:`~dgm_course.flows.layers.Logit`, for bytes.

    Raises:
        ValueError: If a number is negative, or a network has no size.
    """
    at_least(0, couplings=min(couplings), components=components)
    squeeze = Squeeze()
    small = squeeze.output_shape(shape)
    board, channelwise, board_again = couplings
    conditional = mixture_map(components)

    def layers(
        size: tuple[int, ...], kind: type[Partition], count: int
    ) -> list[Flow]:
        parts: list[Flow] = []
        kept = size[0] // 2 if kind is Channels else size[0]
        for i in range(count):
            net = GatedNet(
                kept,
                channels,
                conditional.outputs * kept,
                blocks,
                heads=heads,
                dropout=dropout,
            )
            parts.append(ActNorm(size[0]))
            if size[0] > 1:
                parts.append(InvertibleConv(size[0]))
            parts.append(Coupling(kind(bool(i % 2)), net, conditional))
        return parts

    flow = Compose(
        Logit() if preprocess is None else preprocess,
        *layers(shape, PackedCheckerboard, board),
        squeeze,
        *layers(small, Channels, channelwise),
        *layers(small, PackedCheckerboard, board_again),
        Flatten(*small),
    )
    return FlowModel(flow, StandardLogistic(math.prod(shape)))
