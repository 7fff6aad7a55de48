"""What a WaveNet has to beat: a histogram, and a linear predictor.

Both stand where the network of a :class:`~dgm_course.wavenet.Teacher` stands,
and know no conditions. Chapter 6 compares all three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .network import CausalConv


class Constant(nn.Module):
    """The same parameters for each sample: a histogram, if categorical.

    Args:
        outputs: Number P of parameters.
    """

    inputs, locals, classes, receptive_field = 1, 0, 0, 1

    def __init__(self, outputs: int) -> None:
        super().__init__()
        # components that start alike would stay alike
        self.constant = nn.Parameter(0.01 * torch.randn(outputs, 1))

    def forward(
        self,
        x: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Return the parameters, (B, P, T - context)."""
        length = x.shape[-1] - context
        return self.constant.expand(x.shape[0], -1, length)


class LinearPredictor(Constant):
    """A mixture of logistics around a linear function of the last samples.

    For :class:`~dgm_course.likelihoods.DiscretizedLogistics`: the same
    weights, offsets and scales of the K components at each time.

    Args:
        order: Number p of samples that are seen.
        components: Number K of logistics, at least 2.
    """

    def __init__(self, order: int, components: int) -> None:
        super().__init__(3 * components)
        self.receptive_field = order
        # the offsets are its bias
        self.filter = CausalConv(1, 1, order, bias=False)
        nn.init.zeros_(self.filter.weight)

    def forward(
        self,
        x: Tensor,
        local: Tensor | None = None,
        label: Tensor | None = None,
        context: int = 0,
    ) -> Tensor:
        """Return the parameters, (B, 3 K, T - context)."""
        logits, offsets, scales = (
            super().forward(x, context=context).chunk(3, 1)
        )
        means = offsets + self.filter(x)[..., context:]
        return torch.cat([logits, means, scales], dim=1)
