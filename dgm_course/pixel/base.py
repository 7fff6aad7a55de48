"""What all autoregressive models of pictures in chapter 7 share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..likelihoods import Likelihood
from ..profile import is_quiet


class Step(NamedTuple):
    """What is drawn at once.

    Attributes:
        place: Index into pictures (n, C, H, W).
        parameters: Of the likelihood of what stands there.
    """

    place: Any
    parameters: Tensor


class PixelModel(nn.Module):
    """p(x) = prod_i p(x_i | x_1, ..., x_{i-1}) over the sub-pixels of x.

    In raster order: row by row, in a row from left to right, in a pixel
    channel by channel. A network gives the parameters of all conditionals in
    one pass, and each of them must see earlier sub-pixels alone.

    A model with another order overrides :meth:`order` and :meth:`steps`, and
    :meth:`conditionals` where its parts differ.

    Args:
        net: ``net(y, context)`` from (B, C, H, W) to (B, P, H, W), where P
            is ``likelihood.width(C)``. A net with a method ``stream`` is
            sampled from without computing anything twice; see
            :mod:`dgm_course.pixel.sampling`.
        likelihood: What the outputs are read as. If it is ``joint``, it
            models the channels of a pixel together, and the parameters of a
            pixel see earlier pixels alone.
        shape: Channels, height and width (C, H, W) of samples. `log_prob`
            takes pictures of any size that the net takes.

    Shape:
        x: Integers (B, C, H, W) in {0, ..., levels - 1}. y: the same as
        numbers in [-1, 1], ``2 x / (levels - 1) - 1``. context: what the
        net takes; None where it takes nothing.
    """

    def __init__(
        self,
        net: nn.Module,
        likelihood: Likelihood,
        shape: tuple[int, int, int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        self.net: Any = net
        self.likelihood: Any = likelihood
        self.shape = shape

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log p(x) in nats, (B,).

        Raises:
            ValueError: If x has another shape, or holds no levels.
        """
        self.check(x)
        self.likelihood.check(x)
        y = self.scaled(x)
        # a network may compute in bfloat16, whose steps are as wide as levels
        parameters = self.conditionals(y, context).to(y.dtype)
        return self.likelihood.log_prob(x, parameters)

    def conditionals(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the parameters of all conditionals, (B, P, H, W)."""
        return self.net(y, context)

    def order(self) -> Tensor:
        """Return in which step each sub-pixel is drawn, (C, H, W).

        Steps count from 0. The parameters of a sub-pixel see those of
        earlier steps alone; all of one step are drawn at once.
        """
        channels, height, width = self.shape
        steps = torch.arange(height * width).view(1, height, width)
        if self.likelihood.joint:
            return steps.expand(channels, -1, -1)
        return channels * steps + torch.arange(channels)[:, None, None]

    @property
    def evaluations_per_sample(self) -> int:
        """How many network evaluations a sample waits for."""
        return int(self.order().max()) + 1

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        cached: bool = True,
        progress: bool = False,
    ) -> Tensor:
        """Draw n pictures, (n, C, H, W); with a context, one row for each.

        Args:
            n: Number of pictures.
            context: What the net is conditioned on.
            temperature: Below 1 the likely becomes more likely.
            cached: Compute nothing twice where the net knows how; False for
                one pass of the whole net per step. The pictures are the same.
            progress: Show a progress bar.
        """
        dtype = torch.uint8 if self.likelihood.levels <= 256 else torch.int64
        like = next(self.net.parameters())
        empty = torch.zeros(n, *self.shape, dtype=dtype, device=like.device)
        return self.complete(empty, 0, context, temperature, cached, progress)

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        rows: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        cached: bool = True,
        progress: bool = False,
    ) -> Tensor:
        """Keep the first rows of pictures, and draw the others.

        Args:
            x: (n, C, H, W), any size that the net takes.
            rows: Number of rows that are kept.
            context: See :meth:`sample`, as for the others.
            temperature: See there.
            cached: See there.
            progress: See there.

        Raises:
            ValueError: If x has another shape, or not so many rows.
        """
        self.check(x)
        if not 0 <= rows <= x.shape[2]:
            raise ValueError(f"rows = {rows}; expected 0, ..., {x.shape[2]}")
        x = x.clone()
        y = self.scaled(x)
        y[:, :, rows:] = 0  # nothing is known yet
        for step in self.steps(y, rows, context, cached, progress):
            drawn = self.likelihood.sample(step.parameters, temperature)
            drawn = drawn.view(x[step.place].shape)
            x[step.place] = drawn
            y[step.place] = self.scaled(drawn)
        return x

    def steps(
        self,
        y: Tensor,
        rows: int = 0,
        context: Tensor | None = None,
        cached: bool = True,
        progress: bool = False,
    ) -> Iterator[Step]:
        """Go through the conditionals in their order.

        Args:
            y: (n, C, H, W). The caller fills in the place of a step before it
                asks for the next.
            rows: Number of rows that are known.
            context: See :meth:`sample`, as for the others.
            cached: See there.
            progress: See there.
        """
        channels, height, width = y.shape[1:]
        streams = cached and hasattr(self.net, "stream")
        at = self.net.stream(y, context) if streams else None
        groups = [slice(c, c + 1) for c in range(channels)]
        if self.likelihood.joint:
            groups = [slice(None)]
        lines = range(0 if streams else rows, height)
        for i in tqdm(lines, disable=is_quiet(progress)):
            for j in range(width):
                if at and i < rows:
                    at(i, j)
                    continue
                here = slice(i, i + 1), slice(j, j + 1)
                for group in groups:
                    if at:
                        found = at(i, j)
                    else:
                        found = self.conditionals(y, context)
                        found = found[:, :, *here]
                    if not self.likelihood.joint:
                        # parameter after parameter, each for all channels
                        found = found.unflatten(1, (-1, channels))
                        found = found[:, :, group].flatten(1, 2)
                    yield Step((slice(None), group, *here), found)

    def scaled(self, x: Tensor) -> Tensor:
        """Return levels as numbers in [-1, 1], in the dtype of the weights."""
        dtype = next(self.net.parameters()).dtype
        return 2 * x.to(dtype) / (self.likelihood.levels - 1) - 1

    def check(self, x: Tensor) -> None:
        """Refuse what is no batch of pictures with these channels.

        Raises:
            ValueError: Naming the shape and what was expected.
        """
        if x.ndim != 4 or x.shape[1] != self.shape[0]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected pictures "
                f"(B, {self.shape[0]}, H, W)"
            )
