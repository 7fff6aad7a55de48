"""PixelCNN: masked convolutions, over places and over colours.

Van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks",
2016, sections 3.3, 3.4 and 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from ..sight import with_values
from .sampling import CausalNet, Shown


class MaskedConv(nn.Conv2d):
    """A convolution that sees rows above, and what is left of a place.

    At the place itself colours come one after the other: channel k of any
    layer belongs to colour k mod C, and mask "A" lets it see the colours
    before its own, mask "B" its own too. What a kernel of odd size k never
    sees, the rows below its middle, it does not have: it has (k + 1) / 2 rows.

    Args:
        kind: "A" for the layer that sees the picture, "B" for all others.
        inputs: Channels of the input.
        outputs: Channels of the output.
        width: Width of the kernel that is meant, odd; the place is its middle.
        height: Height of the kernel; row ``height - 1`` is that of the place.
        colours: Number C of channels of a picture.
        kept: Columns of it that there are, from the left; all by default.

    Shape:
        (B, inputs, H + height - 1, W + width - 1), padded by `masked`, to
        (B, outputs, H, W).
    """

    mask: Tensor

    def __init__(
        self,
        kind: str,
        inputs: int,
        outputs: int,
        width: int,
        height: int,
        colours: int,
        kept: int | None = None,
    ) -> None:
        super().__init__(inputs, outputs, (height, kept or width))
        mask = torch.ones_like(self.weight)
        middle = width // 2
        mask[:, :, -1, middle + 1 :] = 0
        mask[:, :, -1, middle] = sees(kind, inputs, outputs, colours)
        # a buffer, to move with the weights; the arguments fix it
        self.register_buffer("mask", with_values(mask), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the weights that act."""
        return F.conv2d(x, self.mask * self.weight, self.bias)


def sees(kind: str, inputs: int, outputs: int, colours: int) -> Tensor:
    """Return which input an output sees at its own place, (outputs, inputs).

    Args:
        kind: "A" or "B".
        inputs: Channels of the input.
        outputs: Channels of the output.
        colours: Number C of channels of a picture.

    Raises:
        ValueError: If it is another kind.
    """
    if kind not in ("A", "B"):
        raise ValueError(f"kind = {kind!r}; expected 'A' or 'B'")
    ours = (torch.arange(outputs) % colours)[:, None]
    theirs = torch.arange(inputs) % colours
    return (ours > theirs if kind == "A" else ours >= theirs).float()


def masked(
    kind: str, inputs: int, outputs: int, size: int, colours: int
) -> nn.Sequential:
    """Pad, then convolve: (B, inputs, H, W) to (B, outputs, H, W).

    Raises:
        ValueError: If the size is even: it has no middle.
    """
    if size % 2 == 0:
        raise ValueError(f"size = {size}: expected an odd number")
    reach = size // 2
    return nn.Sequential(
        nn.ZeroPad2d((reach, reach, reach, 0)),
        MaskedConv(kind, inputs, outputs, size, reach + 1, colours),
    )


class Residual(nn.Module):
    """x + three masked layers: 1x1, 3x3, 1x1, each behind a ReLU (figure 5).

    Args:
        hidden: Channels h in the middle; x has 2 h.
        size: Size of the kernel in the middle.
        colours: Number C of channels of a picture.
    """

    def __init__(self, hidden: int, size: int, colours: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            masked("B", 2 * hidden, hidden, 1, colours),
            nn.ReLU(),
            masked("B", hidden, hidden, size, colours),
            nn.ReLU(),
            masked("B", hidden, 2 * hidden, 1, colours),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add to x, (B, C, H, W), what the layers compute."""
        return x + self.layers(x)


class PixelCNN(CausalNet):
    """One mask "A", then residual blocks with mask "B" (table 1).

    It has a blind spot: what lies above and far enough to the right is never
    seen, however many layers there are.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs, a multiple of C.
        hidden: Channels h of the blocks, whose residuals have 2 h.
        blocks: Number of blocks.
        first: Size of the kernel with mask "A".
        size: Size of the kernels in the blocks.
        last: Channels of the two layers behind the blocks.

    Raises:
        ValueError: If a number is below 1, or below C where colours share
            channels.

    Shape:
        (B, C, H, W), any H and W, to (B, outputs, H, W).
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        hidden: int = 32,
        blocks: int = 8,
        first: int = 7,
        size: int = 3,
        last: int = 64,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, blocks=blocks)
        at_least(colours, hidden=hidden, last=last, outputs=outputs)
        if outputs % colours:
            raise ValueError(
                f"outputs = {outputs}; expected a multiple of the {colours} "
                "colours"
            )
        layers: list[nn.Module] = [
            masked("A", colours, 2 * hidden, first, colours)
        ]
        layers += [Residual(hidden, size, colours) for _ in range(blocks)]
        for inputs, width in ((2 * hidden, last), (last, outputs)):
            layers += [nn.ReLU(), masked("B", inputs, width, 1, colours)]
        self.layers = nn.Sequential(*layers)

    def columns(self, y: Tensor, rows: Shown, context: Tensor | None) -> Tensor:
        """Run all layers: each looks above and to the left at once."""
        return self.layers(y)
