"""Mixtures of logistics over pixels, whose colours depend on each other.

Salimans, Karpathy, Chen and Kingma, "PixelCNN++", 2017, section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..limits import at_least
from ..nn import bounded, per_value
from .base import Likelihood, choose
from .logistics import log_mass, logistic_noise


class ColourLogistics(Likelihood):
    """One mixture for a whole pixel, with linear dependence of its colours.

    Given the component, the mean of colour c is shifted by
    ``sum a[c, d] y[d]`` over the colours d before it, where y is x on the
    scale of [-1, 1] and the coefficients a lie in (-1, 1) (eq. 3). So the
    network is asked once for a pixel, and not once for each colour.

    Parameters of a pixel, for each of K components: one logit, C means, C
    log-scales, and C (C - 1) / 2 coefficients, those of colour 1 first.

    Args:
        colours: Number C of channels.
        levels: Number L of levels.
        components: Number K of components.
        bound: Largest absolute log-scale.

    Raises:
        ValueError: If there are fewer than two levels, or a number is 0.

    Shape:
        x: (B, C, ...). parameters: (B, width(C), ...), component after
        component.
    """

    joint = True

    def __init__(
        self,
        colours: int = 3,
        levels: int = 256,
        components: int = 10,
        bound: float = 12.0,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, components=components)
        at_least(2, levels=levels)
        self.colours, self.levels = colours, levels
        self.components, self.bound = components, bound
        pairs = colours * (colours - 1) // 2
        self.sizes = [1, colours, colours, pairs]

    def width(self, channels: int) -> int:
        """Return the parameters of a pixel.

        Raises:
            ValueError: If it has other channels.
        """
        if channels != self.colours:
            raise ValueError(
                f"channels = {channels}; this likelihood was made for "
                f"{self.colours}"
            )
        return self.components * sum(self.sizes)

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Log-probability in nats, (B,)."""
        self.check(x)
        self.check_shape(x, parameters)
        return self.total(self.joints(x, parameters)[:, -1], x)

    def joints(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-probability of colours 1 to c of each pixel.

        Args:
            x: (B, C, ...).
            parameters: (B, width(C), ...).

        Returns:
            (B, C, ...); the differences of neighbours are those of c, given
            the colours before it.
        """
        log_weight, mean, s, a = self.split(parameters)
        y = 2 * x.to(mean.dtype) / (self.levels - 1) - 1
        means = [
            self.shifted(mean, a, y, colour) for colour in range(self.colours)
        ]
        log_p = log_mass(x, torch.stack(means, 2), s, self.levels)
        return (log_weight[:, :, None] + log_p.cumsum(2)).logsumexp(0)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return the expected level of a grey pixel, (B, 1, ...).

        Raises:
            NotImplementedError: If there are more colours: a mean that is
                shifted by a colour is a sum over all values of that colour.
        """
        if self.colours > 1:
            raise NotImplementedError(
                f"the mean of {self.colours} dependent colours has no short "
                "form; average samples instead"
            )
        log_weight, mean, s, _ = self.split(parameters)
        total = torch.zeros_like(mean[0])
        for j in range(1, self.levels):
            edge = (2 * j - self.levels) / (self.levels - 1)
            above = torch.sigmoid((mean - edge) * (-s).exp())
            total = total + (log_weight[:, :, None].exp() * above).sum(0)
        return total

    def sample(self, parameters: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw pixels, (B, C, ...), one colour after the other."""
        log_weight, mean, s, a = self.split(parameters)
        index = choose(log_weight / temperature)[None, :, None]
        # of the component that was chosen
        mean, s, a = (
            part.gather(0, index.expand(1, *part.shape[1:]))
            for part in (mean, s, a)
        )
        top = self.levels - 1
        y = torch.zeros_like(mean[0])
        for colour in range(self.colours):
            center = self.shifted(mean, a, y, colour)[0]
            noise = temperature * logistic_noise(center)
            drawn = center + s[0, :, colour].exp() * noise
            level = (0.5 * top * (drawn + 1)).round().clamp(0, top)
            y[:, colour] = 2 * level / top - 1
        return self.as_integers((0.5 * top * (y + 1)).round())

    def shifted(
        self, mean: Tensor, a: Tensor, y: Tensor, colour: int
    ) -> Tensor:
        """Return the means of one colour, given those before it, (K, B, ...).

        Args:
            mean: (K, B, C, ...).
            a: Coefficients, (K, B, C (C - 1) / 2, ...).
            y: Pixels in [-1, 1], (B, C, ...); later colours do not matter.
            colour: Which.
        """
        first = colour * (colour - 1) // 2
        own = a[:, :, first : first + colour]
        return mean[:, :, colour] + (own * y[:, :colour]).sum(2)

    def split(
        self, parameters: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return log-weights (K, B, ...), means, log-scales, coefficients."""
        values = per_value(parameters, self.components)
        logit, mean, raw, a = values.split(self.sizes, dim=2)
        s = bounded(raw, self.bound)
        return logit[:, :, 0].log_softmax(0), mean, s, torch.tanh(a)
