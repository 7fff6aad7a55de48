"""Models as codecs: how each kind of discrete model writes an object.

A codec pushes objects onto a :class:`~dgm_course.coding.stack.Stack` and pops
them off again. Both ways have to compute the very same numbers, so objects go
one at a time through the same calls of the model, in float64.

Bits back: Frey and Hinton, "Efficient Stochastic Source Coding and an
Application to a Bayesian Network Source Model", 1997.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..dequantization import Dequantized, Uniform
from ..flows import StandardNormal
from ..likelihoods import Bernoulli
from ..pixel import PixelModel
from ..vae import VAE
from ..vae.posteriors import DiagonalGaussian
from .local import LocalBitsBack
from .stack import BORROWED, Stack


class Codec(ABC):
    """Writes and reads one object, an integer tensor (1, ...).

    Attributes:
        borrowed: At least as many bits as have to stand on the stack before
            an object is written; bits back reads them and gives them back.
    """

    borrowed = 0

    @abstractmethod
    def push(self, stack: Stack, x: Tensor) -> None:
        """Write one object."""

    @abstractmethod
    def pop(self, stack: Stack) -> Tensor:
        """Read one object."""


class Pixels(Codec):
    """A model of pictures: sub-pixel by sub-pixel, in the order of drawing.

    Args:
        model: The model.
        context: What it is conditioned on, (1, ...); who reads has to know
            it, too.
        shape: Shape of a picture, if it is not that of the model's samples.
    """

    def __init__(
        self,
        model: PixelModel,
        context: Tensor | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        self.model = copy.deepcopy(model).double().cpu().eval()
        self.context, self.shape = context, shape or model.shape

    def push(self, stack: Stack, x: Tensor) -> None:
        """Write the sub-pixels from last to first."""
        symbols: list[Tensor] = []
        rows: list[np.ndarray] = []

        def note(p: np.ndarray, known: Tensor) -> Tensor:
            rows.append(p)
            symbols.append(known.clone())
            return symbols[-1]

        self._walk(x, note)
        stack.push_categorical(torch.cat(symbols).numpy(), np.concatenate(rows))

    def pop(self, stack: Stack) -> Tensor:
        """Read the sub-pixels in their order."""
        x = torch.zeros(1, *self.shape, dtype=torch.int64)
        self._walk(x, lambda p, _: torch.from_numpy(stack.pop_categorical(p)))
        return x

    @torch.no_grad()
    def _walk(
        self, x: Tensor, read: Callable[[np.ndarray, Tensor], Tensor]
    ) -> None:
        """Fill x with what ``read(probabilities, values of x)`` returns."""
        y = torch.zeros(x.shape, dtype=torch.float64)
        for place, parameters in self.model.steps(y, context=self.context):
            here = x[place].clone()
            if self.model.likelihood.joint:  # one colour after the other
                for c in range(here.shape[1]):
                    p = self._given(here, parameters, c)
                    here[:, c] = read(p, here[:, c].flatten()).view(1, 1, 1)
            else:
                p = self._each(here.numel(), parameters)
                here = read(p, here.flatten()).view(here.shape)
            x[place] = here
            y[place] = self.model.scaled(here)

    def _each(self, count: int, parameters: Tensor) -> np.ndarray:
        """Probabilities of the levels of independent values, (count, L)."""
        levels = self.model.likelihood.levels
        each = parameters.reshape(-1, count).T.repeat_interleave(levels, 0)
        every = torch.arange(levels).repeat(count)[:, None]
        log_p = self.model.likelihood.log_prob(every, each)
        return log_p.exp().view(count, levels).numpy()

    def _given(self, x: Tensor, parameters: Tensor, c: int) -> np.ndarray:
        """Probabilities of colour c, given those before it, (1, L)."""
        levels = self.model.likelihood.levels
        every = x.expand(levels, -1, -1, -1).clone()
        every[:, c, 0, 0] = torch.arange(levels)
        each = parameters.expand(levels, -1, -1, -1)
        log_p = self.model.likelihood.joints(every, each)[:, c, 0, 0]
        return log_p.softmax(0).numpy()[None]


class BitsBack(Codec):
    """A VAE: read z ~ q(z|x) off the stack, write x given z, then z.

    What was read is got back by the decoder, which knows x: on average the
    stack grows by -ELBO (Frey and Hinton, 1997; Townsend et al., 2019). The
    codes stand on a grid of 2^-10: their width costs posterior and prior the
    same, so it does not show in the length.

    Args:
        model: With a diagonal Gaussian posterior, N(0, I) as its prior and a
            Bernoulli likelihood.

    Raises:
        ValueError: If it has others.
    """

    step = 2.0**-10

    def __init__(self, model: VAE) -> None:
        for part, kind in (
            (model.posterior, DiagonalGaussian),
            (model.prior, StandardNormal),
            (model.likelihood, Bernoulli),
        ):
            if not isinstance(part, kind):
                raise ValueError(
                    f"the VAE has a {type(part).__name__}; bits back is "
                    f"written for a {kind.__name__}"
                )
        self.model = copy.deepcopy(model).double().cpu().eval()
        self.borrowed = 32 * (1 + model.posterior.dim)

    def push(self, stack: Stack, x: Tensor) -> None:
        """Write one object."""
        z = stack.pop_normal(*self._posterior(x), BORROWED)
        p = self._pixels(z)
        stack.push_binary(x.flatten().numpy(), p.flatten().numpy())
        stack.push_normal(z, *self._prior())

    def pop(self, stack: Stack) -> Tensor:
        """Read one object."""
        z = stack.pop_normal(*self._prior())
        p = self._pixels(z)
        bits = stack.pop_binary(p.flatten().numpy())
        x = torch.from_numpy(bits).view(p.shape)
        stack.push_normal(z, *self._posterior(x), BORROWED)
        return x

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        dim = self.model.posterior.dim
        return np.zeros(dim), np.full(dim, 1 / self.step)

    @torch.no_grad()
    def _posterior(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        posterior: Any = self.model.posterior
        mean, log_std = posterior.mean_and_log_std(self.model.encode(x))
        std = log_std.exp()
        return (mean[0] / self.step).numpy(), (std[0] / self.step).numpy()

    @torch.no_grad()
    def _pixels(self, z: np.ndarray) -> Tensor:
        code = torch.from_numpy(z * self.step)[None]
        return self.model.decode(code)


class DequantizedBitsBack(Codec):
    """A flow: read the noise u off the stack, write y = x + u.

    The stack grows by -log p(x + u), which is the bound of chapter 1 for this
    u; the density itself is coded by local bits back.

    Args:
        model: With uniform noise, and a flow whose base is N(0, I).
        shape: Shape of one object.

    Raises:
        ValueError: If it has other parts.
    """

    noise_bits = 26

    def __init__(self, model: Dequantized, shape: Sequence[int]) -> None:
        if not isinstance(model.dequantizer, Uniform):
            raise ValueError(
                f"the model has {type(model.dequantizer).__name__} noise; "
                "bits back is written for Uniform"
            )
        self.shape = tuple(shape)
        density = copy.deepcopy(model.model).double().cpu().eval()
        self.density = LocalBitsBack(density, self.noise_bits)
        self.borrowed = 80 * density.base.dim

    def push(self, stack: Stack, x: Tensor) -> None:
        """Write one object."""
        levels = x.flatten().numpy().astype(np.int64)
        u = stack.pop_uniform(len(levels), self.noise_bits)
        self.density.push(stack, (levels << self.noise_bits) + u, self.shape)

    def pop(self, stack: Stack) -> Tensor:
        """Read one object."""
        y = self.density.pop(stack, self.shape)
        u = y & ((1 << self.noise_bits) - 1)
        stack.push_uniform(u, self.noise_bits)
        return torch.from_numpy(y >> self.noise_bits).view(1, *self.shape)


@singledispatch
def codec(model: Any, shape: Sequence[int]) -> Codec:
    """Return the codec of a model.

    Args:
        model: A :class:`~dgm_course.vae.VAE`, a
            :class:`~dgm_course.dequantization.Dequantized` flow, a
            :class:`~dgm_course.pixel.PixelModel`, or a codec.
        shape: Shape of one object.

    Raises:
        TypeError: If no codec is known for such a model.
    """
    if isinstance(model, Codec):
        return model
    raise TypeError(
        f"no codec is known for a {type(model).__name__}; expected a VAE, a "
        "Dequantized flow, a PixelModel, or a Codec such as Pixels(model)"
    )


@codec.register
def _(model: VAE, shape: Sequence[int]) -> Codec:
    return BitsBack(model)


@codec.register
def _(model: PixelModel, shape: Sequence[int]) -> Codec:
    return Pixels(model, shape=shape)


@codec.register
def _(model: Dequantized, shape: Sequence[int]) -> Codec:
    return DequantizedBitsBack(model, shape)
