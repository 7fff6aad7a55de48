"""Gated PixelCNN: two stacks, and no blind spot.

Van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu,
"Conditional Image Generation with PixelCNN Decoders", 2016.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..limits import at_least
from ..wavenet.network import gated
from .pixelcnn import MaskedConv, masked
from .sampling import CausalNet, Shown, check_labels


class GatedLayer(nn.Module):
    """One layer of both stacks (figure 2 and eq. 2, 3 and 4).

    The vertical stack sees rows above, all of each; the horizontal one sees
    what is left of a place in its own row, and the vertical stack. Both end
    with ``tanh(a + f_h) sigmoid(b + g_h)``, where (f_h, g_h) comes from the
    label h.

    Args:
        inputs: Channels of both inputs.
        hidden: Channels of both outputs, a multiple of the colours.
        size: Size of the kernels, odd.
        colours: Number C of channels of a picture.
        classes: Number of labels; 0 for none.
        first: Whether this is the layer that sees the picture. It shifts the
            vertical stack down by a row, masks the place itself, and has no
            residual.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        size: int,
        colours: int,
        classes: int,
        first: bool = False,
    ) -> None:
        super().__init__()
        reach, self.first = size // 2, first
        top, bottom = (reach + 1, -1) if first else (reach, 0)
        self.vertical = nn.Sequential(
            nn.ZeroPad2d((reach, reach, top, bottom)),
            nn.Conv2d(inputs, 2 * hidden, (reach + 1, size)),
        )
        self.down = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        kind = "A" if first else "B"
        self.horizontal = nn.Sequential(
            nn.ZeroPad2d((reach, 0, 0, 0)),
            MaskedConv(kind, inputs, 2 * hidden, size, 1, colours, reach + 1),
        )
        self.out = masked("B", hidden, hidden, 1, colours)
        self.labels: Any = None
        if classes:
            self.labels = nn.Embedding(classes, 4 * hidden)
            nn.init.zeros_(self.labels.weight)

    def rows(self, v: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the vertical stack, and what it gives to the horizontal."""
        raw = self.vertical(v)
        given = self.down(raw)
        if context is not None:
            known = self.labels(context)[..., None, None]
            ours, theirs = known.chunk(2, dim=1)
            raw, given = raw + ours, given + theirs
        return gated(raw), given

    def columns(self, h: Tensor, given: Tensor) -> Tensor:
        """Return the horizontal stack."""
        out = self.out(gated(self.horizontal(h) + given))
        return out if self.first else h + out


class GatedPixelCNN(CausalNet):
    """Gated layers, and two layers 1x1 behind the horizontal stack.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs, a multiple of C.
        hidden: Channels of the stacks, a multiple of C.
        blocks: Number of layers behind the first.
        first: Size of the kernel of the first layer.
        size: Size of the other kernels.
        last: Channels of the layer behind the stacks.
        classes: Number of labels; 0 for none.

    Raises:
        ValueError: If a number is below 1, or no multiple of C.

    Shape:
        (B, C, H, W), any H and W, and labels (B,) where there are classes,
        to (B, outputs, H, W).
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
        classes: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, colours=colours, blocks=blocks, hidden=hidden)
        at_least(0, classes=classes)
        if hidden % colours or outputs % colours or last < colours:
            raise ValueError(
                f"hidden = {hidden}, outputs = {outputs}, last = {last}; "
                f"expected multiples of the {colours} colours"
            )
        self.classes = classes
        layers = [GatedLayer(colours, hidden, first, colours, classes, True)]
        for _ in range(blocks):
            layers.append(GatedLayer(hidden, hidden, size, colours, classes))
        self.layers: Any = nn.ModuleList(layers)
        self.last = nn.Sequential(
            nn.ReLU(),
            masked("B", hidden, last, 1, colours),
            nn.ReLU(),
            masked("B", last, outputs, 1, colours),
        )

    def rows(self, y: Tensor, context: Tensor | None) -> Shown:
        """Run the vertical stack.

        Raises:
            ValueError: If labels are missing, or not wanted.
        """
        check_labels(context, y.shape[0], self.classes)
        known, v = [], y
        for layer in self.layers:
            v, given = layer.rows(v, context)
            known.append(given)
        return tuple(known)

    def columns(self, y: Tensor, rows: Shown, context: Tensor | None) -> Tensor:
        """Run the horizontal stack."""
        h = y
        for layer, given in zip(self.layers, rows):
            h = layer.columns(h, given)
        return self.last(h)
