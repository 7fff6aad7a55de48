"""The IAF-VAE: layers of latent pictures, each with an IAF posterior.

Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, "Improved
Variational Inference with Inverse Autoregressive Flow", 2016, section 5.2 and
figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..likelihoods import DiscretizedLogistics, Likelihood
from ..limits import at_least
from ..nn import bounded
from ..nn.residual import normed
from ..pixel.pixelcnn import masked
from .model import Parts

# largest log-scale of a latent variable
bounded_scale = partial(bounded, bound=5.0)


class IAFStep(nn.Module):
    """z' = (z - mean) exp(-s), mean and s from what comes before and context.

    z is in order place after place, row by row, and at each place channel
    after channel. One pass of masked convolutions serves all values; the
    Jacobian is triangular, with exp(-s) on its diagonal (section 4). Starts as
    the identity.

    Args:
        latents: Channels Z of z.
        hidden: Channels of the hidden layer and of the context, a multiple of
            Z.
    """

    def __init__(self, latents: int, hidden: int) -> None:
        super().__init__()
        self.first = masked("A", latents, hidden, 3, latents)
        self.last = masked("B", hidden, 2 * latents, 3, latents)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return z' and s, both (B, Z, H, W); -s sums to ladj.

        Args:
            z: (B, Z, H, W).
            context: (B, hidden, H, W), seen everywhere.
        """
        raw = self.last(F.elu(self.first(z) + context))
        mean, raw = raw.chunk(2, dim=1)
        s = bounded_scale(raw)
        return (z - mean) * (-s).exp(), s


class _Told(NamedTuple):
    """What the way up tells a layer of x: mean, raw log-scale, context."""

    mean: Tensor
    raw: Tensor
    context: Tensor


class LatentLayer(nn.Module):
    """Residual blocks on the way up and on the way down, with a z between.

    Up, from the picture: what the posterior is told of x. Down, from the top:
    prior of z and, with the same h, the rest of the posterior. Both see all z
    above (bidirectional inference, figure 3).

    Args:
        channels: Channels of h.
        latents: Channels Z of z; divides ``channels``.
        halve: h above has half the height and width of h below.
        top: No layer follows on the way up.
    """

    def __init__(
        self, channels: int, latents: int, halve: bool, top: bool
    ) -> None:
        super().__init__()
        self.halve = halve
        self.sizes_up = [latents] * 2 + [channels] * (2 - top)
        self.sizes_down = [latents] * 4 + [channels] * 2
        self.up_first = normed(channels, sum(self.sizes_up))
        self.up_last: Any = None
        if not top:
            self.up_last = normed(channels, channels, zero=True)
        self.down_first = normed(channels, sum(self.sizes_down))
        self.down_last = normed(channels + latents, channels, zero=True)
        self.iaf = IAFStep(latents, channels)

    def up(self, h: Tensor) -> tuple[Tensor, _Told]:
        """Take h of the layer below; return h and what is told of x."""
        h = F.avg_pool2d(h, 2) if self.halve else h
        raw = self.up_first(F.elu(h))
        mean, scale, context, *inner = raw.split(self.sizes_up, 1)
        if self.up_last is not None:
            h = h + self.up_last(F.elu(inner[0]))
        return h, _Told(mean, scale, context)

    def down(
        self, h: Tensor, told: _Told | None, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Take h of the layer above, draw z, and return h below.

        Args:
            h: (B, channels, H, W).
            told: From :meth:`up`; None to draw z from the prior.
            temperature: Factor of the prior's scale.

        Returns:
            h, and log q(z|x, above) - log p(z|above) in nats, (B, Z): for each
            channel the sum over places; zeros for a z of the prior.
        """
        raw = self.down_first(F.elu(h))
        p_mean, p_raw, mean, scale, context, inner = raw.split(
            self.sizes_down, 1
        )
        p_s = bounded_scale(p_raw)
        noise = torch.randn_like(mean)
        if told is None:
            z = p_mean + temperature * p_s.exp() * noise
            kl = z.new_zeros(z.shape[:2])
        else:
            s = bounded_scale(scale + told.raw)
            z = mean + told.mean + s.exp() * noise
            z, s_iaf = self.iaf(z, context + told.context)
            # both without log sqrt(2 pi)
            log_q = s_iaf - s - 0.5 * noise.square()
            log_p = -p_s - 0.5 * ((z - p_mean) * (-p_s).exp()).square()
            kl = (log_q - log_p).sum((2, 3))
        h = h + self.down_last(F.elu(torch.cat([inner, z], 1)))
        return F.interpolate(h, scale_factor=2.0) if self.halve else h, kl


class IAFVAE(nn.Module):
    """p(x) with layers of latent pictures z, half the size of x and smaller.

    The likelihood is a discretized logistic with a mean and a scale for each
    value (the paper learns one scale for all). ``parts`` gives the KL of each
    channel of each layer, the groups of the paper's free bits: train with
    ``Objective(free_bits=...)``, which is no bound; report ``elbo``, which is.

    Args:
        shape: (C, H, W) of one picture, H and W multiples of 2**levels.
        levels: Sizes of latent pictures.
        blocks: Layers of each size.
        channels: Channels of the residual blocks, a multiple of ``latents``.
        latents: Channels of each latent picture.
        likelihood: p(x|z); :class:`~dgm_course.likelihoods.\
DiscretizedLogistics` with one component for None.

    Raises:
        ValueError: If the sizes do not fit.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int = 2,
        blocks: int = 2,
        channels: int = 32,
        latents: int = 4,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        at_least(1, levels=levels, blocks=blocks, latents=latents)
        count, *size = shape
        if any(side % 2**levels for side in size) or channels % latents:
            raise ValueError(
                f"shape = {tuple(shape)}, channels = {channels}, latents = "
                f"{latents}; expected height and width that are multiples of "
                f"{2**levels}, and a multiple of latents as channels"
            )
        if likelihood is None:
            likelihood = DiscretizedLogistics(components=1)
        self.likelihood, self.shape = likelihood, tuple(shape)
        self.enter = nn.Conv2d(count, channels, 4, stride=2, padding=1)
        self.layers: Any = nn.ModuleList(
            LatentLayer(
                channels,
                latents,
                halve=i > 0 and i % blocks == 0,
                top=i + 1 == levels * blocks,
            )
            for i in range(levels * blocks)
        )
        top = [side // 2**levels for side in size]
        self.top = nn.Parameter(torch.zeros(channels, *top))
        self.exit = nn.ConvTranspose2d(
            channels, likelihood.outputs * count, 4, stride=2, padding=1
        )

    def parts(self, x: Tensor) -> Parts:
        """Estimate the two terms of the ELBO with one sample of all z.

        Args:
            x: Integers (B, C, H, W).

        Returns:
            The reconstruction, and the KL of each channel of each layer, from
            the top, (B, levels * blocks * latents).
        """
        return self._down(x, self._up(x))

    def elbo(self, x: Tensor) -> Tensor:
        """One-sample lower bound on log p(x) in nats, (B,)."""
        return self.parts(x).elbo

    def iw_bound(self, x: Tensor, k: int) -> Tensor:
        """Importance-weighted bound with k samples of all z, in nats, (B,).

        Raises:
            ValueError: If k is below 1.
        """
        at_least(1, k=k)
        told = self._up(x)
        weights = [self._down(x, told).elbo for _ in range(k)]
        return torch.stack(weights).logsumexp(0) - math.log(k)

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw n pictures, (n, C, H, W), with all priors at a temperature."""
        h = self.top.expand(n, -1, -1, -1)
        for layer in self.layers[::-1]:
            h, _ = layer.down(h, None, temperature)
        return self.likelihood.sample(self.exit(F.elu(h)))

    def _up(self, x: Tensor) -> list[_Told]:
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this model expects (B, "
                f"{', '.join(map(str, self.shape))})"
            )
        # evenly in [-1, 1], as the likelihood sees the levels
        scaled = 2 * x.to(self.top.dtype) / (self.likelihood.levels - 1) - 1
        h, found = self.enter(scaled), []
        for layer in self.layers:
            h, told = layer.up(h)
            found.append(told)
        return found

    def _down(self, x: Tensor, told: list[_Told]) -> Parts:
        h, kls = self.top.expand(x.shape[0], -1, -1, -1), []
        for layer, one in zip(reversed(self.layers), reversed(told)):
            h, kl = layer.down(h, one)
            kls.append(kl)
        parameters = self.exit(F.elu(h))
        log_p = self.likelihood.log_prob(x, parameters)
        return Parts(log_p, torch.cat(kls, 1))
