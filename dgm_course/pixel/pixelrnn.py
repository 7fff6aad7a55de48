"""PixelRNN: an LSTM that runs over a picture, by rows or by diagonals.

Van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks",
2016, sections 3.1 to 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..limits import at_least
from .pixelcnn import masked
from .places import ColourHead, PlaceNet


def step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next state and the next cell of an LSTM (equation 3).

    Args:
        gates: Of a line of a picture, before their nonlinearities, (B, 4 h, n).
        cell: The last one, (B, h, n).
    """
    out, forget, enter, content = gates.chunk(4, dim=1)
    cell = torch.sigmoid(forget) * cell
    cell = cell + torch.sigmoid(enter) * torch.tanh(content)
    return torch.sigmoid(out) * torch.tanh(cell), cell


def lstm(
    inputs: Sequence[Tensor], state_to_state: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Run an LSTM whose states are lines of a picture.

    Args:
        inputs: What the inputs add to the gates of each line, (B, 4 h, n).
        state_to_state: What the last state adds, from (B, h, n).

    Returns:
        The states, (B, h, n) each.
    """
    states: list[Tensor] = []
    state = cell = torch.zeros_like(inputs[0].chunk(4, dim=1)[0])
    for line in inputs:
        state, cell = step(line + state_to_state(state), cell)
        states.append(state)
    return states


class RowLSTM(nn.Module):
    """From the top row to the bottom row (section 3.1).

    The gates of a place see the states of three places of the row above, so
    that a triangle above it is seen and no more, and the input of the place
    and of the one to its left.

    Args:
        inputs: Channels of the input.
        hidden: Channels h of the states.

    Shape:
        (B, inputs, H, W) to (B, hidden, H, W).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input_to_state = nn.Sequential(
            nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(inputs, 4 * hidden, (1, 2))
        )
        self.state_to_state = nn.Conv1d(
            hidden, 4 * hidden, 3, padding=1, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run over the rows."""
        rows = self.input_to_state(x).movedim(2, 0).contiguous()
        return torch.stack(lstm(rows.unbind(0), self.state_to_state), 2)


class DiagonalBiLSTM(nn.Module):
    """Along the diagonals, from both upper corners (section 3.2).

    Skewed, a picture has its diagonals as columns, and the place above and
    the place beside one stand in the column before it. The LSTM from the right
    would see the end of the row of a place: its states are moved down by a
    row. Both together see everything before a place. (The paper adds the two;
    here they stand side by side, and the layer behind them mixes them.)

    Args:
        inputs: Channels of the input.
        hidden: Channels h of the states, of both directions together.

    Raises:
        ValueError: If h is odd.

    Shape:
        (B, inputs, H, W) to (B, hidden, H, W).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(
                f"hidden = {hidden}: expected an even number, half of it for "
                "each direction"
            )
        self.left = nn.Conv2d(inputs, 2 * hidden, 1)
        self.right = nn.Conv2d(inputs, 2 * hidden, 1)
        # both directions at once, as two groups of channels
        self.state_to_state = nn.Conv1d(
            hidden, 4 * hidden, 2, groups=2, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run over the diagonals."""
        width = x.shape[3]
        both = self.left(x), self.right(x).flip(3)
        columns = torch.stack([skew(some) for some in both], 1)
        # (columns, B, 4 parts, 2 directions, h / 2, H), gate after gate
        columns = columns.unflatten(2, (4, -1)).transpose(1, 2).movedim(5, 0)
        lines = columns.flatten(2, 4).contiguous().unbind(0)
        states = torch.stack(lstm(lines, self._from_above_and_beside), 3)
        left, right = (unskew(some, width) for some in states.chunk(2, dim=1))
        return torch.cat([left, moved_down(right.flip(3))], 1)

    def _from_above_and_beside(self, state: Tensor) -> Tensor:
        """What the last column adds to the gates: (B, h, H) to (B, 4 h, H)."""
        found = self.state_to_state(F.pad(state, (1, 0)))
        # from direction after direction to gate after gate
        found = found.unflatten(1, (2, 4, -1)).transpose(1, 2)
        return found.flatten(1, 3)


def moved_down(x: Tensor) -> Tensor:
    """Give each row what the one above holds: (B, C, H, W) to the same."""
    return F.pad(x[:, :, :-1], (0, 0, 1, 0))


def skew(x: Tensor) -> Tensor:
    """Shift row i to the right by i: (B, C, H, W) to (B, C, H, W + H - 1)."""
    height, width = x.shape[2:]
    # rows that are read one value short begin one place later each time
    long = F.pad(x, (0, height)).flatten(2)[
        ..., : height * (width + height - 1)
    ]
    return long.unflatten(2, (height, -1))


def unskew(x: Tensor, width: int) -> Tensor:
    """Undo :func:`skew`: (B, C, H, W + H - 1) to (B, C, H, W)."""
    height = x.shape[2]
    long = F.pad(x.flatten(2), (0, height)).unflatten(2, (height, -1))
    return long[..., :width]


class PixelRNN(PlaceNet):
    """A convolution with mask "A", then layers of LSTMs with residuals.

    Args:
        colours: Channels C of a picture.
        outputs: Number of outputs, a multiple of C.
        hidden: Channels h of the states; what is between layers has 2 h.
        layers: Number of LSTMs.
        kind: "row" for :class:`RowLSTM`, "diagonal" for
            :class:`DiagonalBiLSTM`.
        first: Size of the kernel with mask "A".

    Raises:
        ValueError: If a number is below 1, or there is no such kind.

    Shape:
        (B, C, H, W), any H and W, to (B, outputs, H, W).
    """

    def __init__(
        self,
        colours: int,
        outputs: int,
        hidden: int = 48,
        layers: int = 3,
        kind: str = "row",
        first: int = 7,
    ) -> None:
        at_least(1, colours=colours, hidden=hidden, layers=layers)
        kinds: dict[str, Callable[[int, int], nn.Module]] = {
            "row": RowLSTM,
            "diagonal": DiagonalBiLSTM,
        }
        if kind not in kinds:
            raise ValueError(f"kind = {kind!r}; expected one of {[*kinds]}")
        width = 2 * hidden
        super().__init__(ColourHead(colours, width, outputs))
        # all colours of other places, none of the place itself
        self.first = masked("A", colours, width, first, 1)
        self.reach, self.by_rows = first // 2, kind == "row"
        self.layers: Any = nn.ModuleList(
            nn.Sequential(
                kinds[kind](width, hidden), nn.Conv2d(hidden, width, 1)
            )
            for _ in range(layers)
        )

    def places(self, y: Tensor) -> Tensor:
        """Run the LSTMs, each of which adds to what it reads (figure 5)."""
        # behind the mask, the last pixel of a row is told to the place beyond
        h = self.first(F.pad(y, (0, 1)))
        for layer in self.layers:
            h = h + layer(h)
        return F.relu(h[..., :-1])

    def remember(self, y: Tensor) -> Callable[[int, int], Tensor] | None:
        """Keep the states of the last row: a place costs one row."""
        if not self.by_rows:
            return None
        n, width = y.shape[0], y.shape[3]
        lines = [
            up.weight.new_zeros(2, n, up.in_channels, width + 1)
            for _, up in self.layers
        ]
        now = 0

        def run(i: int) -> tuple[Tensor, list[Tensor]]:
            """Run all layers over row i; return it, with the new states."""
            near = y[:, :, max(0, i - self.reach) : i + 1]
            h = self.first(F.pad(near, (0, 1)))[:, :, -1:]
            found = []
            for (rnn, up), (state, cell) in zip(self.layers, lines):
                gates = rnn.input_to_state(h)[:, :, 0]
                pair = step(gates + rnn.state_to_state(state), cell)
                found.append(torch.stack(pair))
                h = h + up(pair[0][:, :, None])
            return h, found

        def place(i: int, j: int) -> Tensor:
            nonlocal now, lines
            while now < i:  # that row is known by now
                lines, now = run(now)[1], now + 1
            return F.relu(run(i)[0][..., j : j + 1])

        return place
