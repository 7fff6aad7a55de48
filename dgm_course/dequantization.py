"""From a density to a discrete model, and back.

A flow has a density p(y); pixels are integers. The discrete model of a flow
is P(x) = integral of p(x + u) over the unit cube. It is bounded from below
by noise u ~ q(u|x): log P(x) >= E_q[log p(x + u) - log q(u|x)].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .flows import (
    Channels,
    Compose,
    Coupling,
    Flatten,
    Flow,
    FlowModel,
    Inverse,
    Logit,
    ScaleShift,
    Squeeze,
    StandardLogistic,
)
from .limits import at_least
from .nn import ConvNet, conv
from .sight import holds, in_sight


class Dequantizer(nn.Module, ABC):
    """A distribution q(u|x) of noise in the unit cube."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw u of the shape of x in [0, 1), with log q(u|x) in nats, (B,).

        ``x`` holds integers as a floating-point tensor (B, ...).
        """


class Uniform(Dequantizer):
    """u ~ U[0, 1) in each dimension independently, so log q(u|x) = 0."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw u of the shape of x, and zeros (B,)."""
        return torch.rand_like(x), x.new_zeros(x.shape[0])


class Variational(Dequantizer):
    """u = h(eps, x): a flow from noise to the cube that sees the picture.

    Ho et al., "Flow++", 2019, section 3.1. log q(u|x) comes from the pass
    that draws u: the gradient of a bound is pathwise, and only the way from
    noise to the cube has to be fast.

    Args:
        density: A density of u in (0, 1)^D, of the shape of x, given a
            context. Its flow begins with ``Logit(1, alpha=0)``, which is onto
            the cube.
        encoder: Maps x, integers as a floating-point tensor, to the context.
    """

    def __init__(self, density: FlowModel, encoder: nn.Module) -> None:
        super().__init__()
        self.density = density
        self.encoder = encoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw u of the shape of x in [0, 1), with log q(u|x), (B,)."""
        context = self.encoder(x)
        u, log_q = self.density.rsample_and_log_prob(x.shape[0], context)
        # a sigmoid rounds to 1 where the noise is large
        return u.clamp(max=1 - torch.finfo(u.dtype).eps / 2), log_q


class PixelEncoder(nn.Module):
    """What the noise is told of a picture: each pixel and its surroundings.

    A pixel is shown as a number and as its eight binary digits. As numbers
    the levels 0 and 1 are 1/255 apart, and their cubes look least alike: the
    background of many pictures is exactly 0.

    Args:
        channels: Channels C of the pictures.
        hidden: Channels of the hidden layer.
        outputs: Channels of the context.

    Shape:
        (B, C, H, W), bytes as a floating-point tensor, to (B, outputs, H, W).
    """

    def __init__(self, channels: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = conv(9 * channels, hidden)
        self.last = conv(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Look at each pixel and at its neighbours."""
        digits = [(x / 2**i).floor().remainder(2) for i in range(8)]
        seen = 2 * torch.cat([x / 255, *digits], dim=1) - 1
        return self.last(torch.relu(self.first(seen)))


def variational(
    shape: tuple[int, ...],
    couplings: int = 2,
    hidden: int = 32,
    context: int = 8,
) -> Variational:
    """Assemble noise for pictures that starts as uniform noise.

    The base is logistic, which the sigmoid makes uniform, and each coupling
    starts as the identity: so log q(u|x) = 0 at first, and the bound is that
    of uniform noise. From noise to the cube the couplings run in the direction
    that a :class:`~dgm_course.flows.base.Inverse` makes fast.

    Args:
        shape: (C, H, W) of one picture, H and W even.
        couplings: Number of couplings, two at least: each changes one of two
            rows of pixels, given the picture and the noise of the other row.
        hidden: Channels of the couplings' hidden layers.
        context: Channels that the encoder gives them for each pixel.

    Raises:
        ValueError: If a number is too small.
    """
    at_least(2, couplings=couplings)
    at_least(1, context=context)
    squeeze = Squeeze()
    small = squeeze.output_shape(shape)
    half = small[0] // 2
    layers: list[Flow] = [Logit(levels=1, alpha=0), squeeze]
    for i in range(couplings):
        net = ConvNet(half, hidden, 2 * half, 4 * context)
        # noise as narrow as exp(-5) of a cube's logits
        coupling = Coupling(Channels(swap=bool(i % 2)), net, ScaleShift(5.0))
        layers.append(Inverse(coupling))
    flow = Compose(*layers, Flatten(*small))
    return Variational(
        FlowModel(flow, StandardLogistic(math.prod(shape))),
        PixelEncoder(shape[0], 2 * context, context),
    )


class Dequantized(nn.Module):
    """The discrete model P(x) of a density p(y), known through its bounds.

    Theis et al. (2016, section 3.1) for uniform noise, Ho et al. (2019,
    section 3.1) for any q(u|x).

    Args:
        model: A density over y in R^D; its own preprocessing, with the
            log-determinant, is part of it.
        dequantizer: The distribution of the noise.
        levels: Number L of levels of x, which lies in 0, ..., L - 1.
    """

    def __init__(
        self,
        model: FlowModel,
        dequantizer: Dequantizer | None = None,
        levels: int = 256,
    ) -> None:
        super().__init__()
        self.model = model
        self.dequantizer = Uniform() if dequantizer is None else dequantizer
        self.levels = levels

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """One-sample lower bound on log P(x) in nats, (B,).

        Args:
            x: Integers (B, ...), such as uint8 pixels.
            context: Passed on to the density.

        Raises:
            ValueError: If x holds floating-point values, or, on a CPU, other
                integers than 0, ..., levels - 1.
        """
        x = self._as_float(x)
        u, log_q = self.dequantizer(x)
        return self.model.log_prob(inside(x, u), context) - log_q

    def iw_bound(
        self, x: Tensor, k: int, context: Tensor | None = None
    ) -> Tensor:
        """Importance-weighted bound with k samples of u, in nats, (B,).

        log (1/k) sum_j p(x + u_j) / q(u_j|x): not below the ELBO on average,
        not decreasing in k, and log P(x) in the limit (Burda et al., 2016).

        Raises:
            ValueError: If k < 1, or for the reasons of :meth:`elbo`.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        bounds = torch.stack([self.elbo(x, context) for _ in range(k)])
        return bounds.logsumexp(0) - math.log(k)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw y from the density and return the integers floor(y).

        A density may have mass outside [0, L), which belongs to no x; such a
        value becomes the nearest of 0, ..., L - 1.
        """
        y = self.model.sample(n, context, temperature)
        return y.floor().clamp(0, self.levels - 1).long()

    def _as_float(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            raise ValueError(
                f"x holds {x.dtype} values; a discrete model takes integers "
                "(for pixels already scaled to [0, 1]: multiply by 255, "
                "round, and convert to torch.uint8)"
            )
        y = x.to(self.model.base.zero.dtype)
        # not of x: as a byte, 256 is 0
        if in_sight(y) and holds((y < 0).any() | (y >= self.levels).any()):
            raise ValueError(
                f"x holds {y.min():g} to {y.max():g}; expected integers in "
                f"0, ..., {self.levels - 1}"
            )
        return y


def inside(x: Tensor, u: Tensor) -> Tensor:
    """Return x + u, rounded so that its integer part is x.

    In float32 one sum in 130,000 at x = 255 would be rounded up to 256, into
    the cube of another picture.

    Args:
        x: Integers as a floating-point tensor.
        u: Noise in [0, 1), of the same shape.
    """
    return torch.minimum(x + u, torch.nextafter(x + 1, x))
