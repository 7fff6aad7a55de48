"""TarFlow: a MAF over patches whose networks are causal transformers.

Zhai et al., "Normalizing Flows are Capable Generative Models", 2024. That is
the flow itself: the paper's pictures come of training under Gaussian noise,
which a last step along the score removes, and of guidance. None of them is
here; its likelihoods are those of uniform noise, as ours are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..limits import at_least
from ..nn import Memory, TransformerBlock, causal
from .base import Compose, Flow, FlowModel, StandardNormal, WithLadj
from .conditionals import Affine
from .layers import Logit
from .multiscale import Flatten


class PatchMAF(Flow):
    """z_t = (x_t - mean(x_1, ..., x_{t-1})) exp(-s(x_1, ..., x_{t-1})).

    x_t is a patch, and mean and log-scale have one value for each of its
    numbers: the Jacobian is triangular in blocks, and diagonal inside of each.
    What the transformer says at place t is used at place t + 1; of the first
    patch nothing is known, and it stays as it is (section 2.3).

    ``forward`` takes one pass of the network. ``inverse`` goes from patch to
    patch with the keys and values of those before: each place passes through
    the network once.

    Args:
        shape: (C, H, W) of one picture.
        patch: Height and width of a patch; divides H and W.
        width: Channels of the transformer.
        layers: Blocks of the transformer.
        heads: Heads of its attention.
        reverse: Go from the last patch to the first.
        context: Width of an optional context vector, added at all places.

    Raises:
        ValueError: If the patches do not fill the picture.

    Shape:
        x, z: (B, C, H, W). context: (B, context).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: int = 4,
        width: int = 48,
        layers: int = 1,
        heads: int = 4,
        reverse: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, patch=patch, layers=layers)
        channels, height, wide = shape
        if height % patch or wide % patch:
            raise ValueError(
                f"pictures of {height}x{wide} do not divide into patches of "
                f"{patch}x{patch}; expected multiples of {patch}"
            )
        self.shape, self.patch, self.reverse = tuple(shape), patch, reverse
        self.rows = height // patch
        self.conditional = Affine()
        places, size = self.rows * (wide // patch), channels * patch**2
        # the last patch is seen by no other
        self.position = nn.Parameter(0.02 * torch.randn(places - 1, width))
        self.enter = nn.Linear(size, width)
        self.context: Any = None
        if context:
            self.context = nn.Linear(context, width, bias=False)
        self.blocks: Any = nn.ModuleList(
            TransformerBlock(width, heads) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        # start as the identity
        self.exit = nn.Linear(width, self.conditional.outputs * size)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Data to noise, all patches at once."""
        x = self.patches(x)
        parameters = self._said(x[:, :-1], self._told(context))
        z, slope = self.conditional.forward(x[:, 1:], parameters)
        return self.picture(torch.cat([x[:, :1], z], 1)), slope.sum((1, 2))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data, patch after patch."""
        z, told = self.patches(z), self._told(context)
        memories = [Memory() for _ in self.blocks]
        found, total = [z[:, :1]], z.new_zeros(len(z))
        for t in range(1, z.shape[1]):
            parameters = self._said(found[-1], told, memories, t - 1)
            x, slope = self.conditional.inverse(z[:, t : t + 1], parameters)
            found.append(x)
            total = total + slope.sum((1, 2))
        return self.picture(torch.cat(found, 1)), total

    def inverse_textbook(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The inverse by a pass over all patches so far for each patch."""
        z, told = self.patches(z), self._told(context)
        x, total = z[:, :1], z.new_zeros(len(z))
        for t in range(1, z.shape[1]):
            parameters = self._said(x, told)[:, :, -1:]
            new, slope = self.conditional.inverse(z[:, t : t + 1], parameters)
            x = torch.cat([x, new], 1)
            total = total + slope.sum((1, 2))
        return self.picture(x), total

    def patches(self, x: Tensor) -> Tensor:
        """Cut pictures into patches, in order: (B, C, H, W) to (B, T, D)."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this flow expects (B, "
                f"{', '.join(map(str, self.shape))})"
            )
        p = self.patch
        x = x.unflatten(3, (-1, p)).unflatten(2, (-1, p))
        # rows and columns of patches first: (B, rows, columns, C, p, p)
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return x.flip(1) if self.reverse else x

    def picture(self, x: Tensor) -> Tensor:
        """Undo :meth:`patches`."""
        x = x.flip(1) if self.reverse else x
        size = self.shape[0], self.patch, self.patch
        x = x.unflatten(1, (self.rows, -1)).unflatten(3, size)
        return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def _said(
        self,
        x: Tensor,
        told: Tensor | float,
        memories: Sequence[Memory] = (),
        start: int = 0,
    ) -> Tensor:
        """What patches say of those that follow: (B, T, D) to (P, B, T, D).

        Args:
            x: Patches number ``start`` and following.
            told: What the context adds.
            memories: Of the patches before, one for each block.
            start: 0 without memories.
        """
        h = self.enter(x) + told
        h = h + self.position[start : start + x.shape[1]]
        for i, block in enumerate(self.blocks):
            h = block(h, memories[i] if memories else causal)
        raw = self.exit(self.norm(h))
        return raw.unflatten(-1, (self.conditional.outputs, -1)).movedim(2, 0)

    def _told(self, context: Tensor | None) -> Tensor | float:
        wanted = 0 if self.context is None else self.context.in_features
        given = 0 if context is None else context.shape[1]
        if given != wanted:
            raise ValueError(
                f"context has width {given}; this flow expects {wanted}"
            )
        return 0.0 if context is None else self.context(context)[:, None]


def tarflow(
    shape: tuple[int, ...],
    patch: int = 4,
    flows: int = 4,
    width: int = 48,
    layers: int = 2,
    heads: int = 4,
    context: int = 0,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble a TarFlow with a standard normal base.

    The order of the patches is turned round between two flows.

    Args:
        shape: (C, H, W) of one picture.
        patch: Height and width of a patch.
        flows: Number of autoregressive maps.
        width: Channels of each transformer.
        layers: Blocks of each transformer.
        heads: Heads of its attention.
        context: Width of an optional context vector.
        preprocess: Applied to the pixels first; None for
            :class:`~dgm_course.flows.layers.Logit`, for bytes.

    Raises:
        ValueError: If there is no flow, or the patches do not fit.
    """
    at_least(1, flows=flows)
    first = Logit() if preprocess is None else preprocess
    parts = [
        PatchMAF(shape, patch, width, layers, heads, bool(i % 2), context)
        for i in range(flows)
    ]
    flow = Compose(first, *parts, Flatten(*shape))
    return FlowModel(flow, StandardNormal(math.prod(shape)))
