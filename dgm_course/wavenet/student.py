"""The student: inverse autoregressive flows whose networks are WaveNets.

Van den Oord et al., "Parallel WaveNet: Fast High-Fidelity Speech Synthesis",
2017, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..flows import Affine, Compose, Flow, Inverse
from ..flows.base import WithLadj
from .network import WaveNet
from .queue import Stream


class CausalMAF(Flow):
    """z_t = (x_t - mean(x_<t)) exp(-s(x_<t)) with a WaveNet for both.

    A :class:`~dgm_course.flows.MAF` for sounds of any length: ``forward``
    takes one pass, ``inverse`` one step of a queue per sample.

    Args:
        net: From one channel to two. Its last layer is set to zero, so that
            the flow starts as the identity.
        bound: Largest absolute log-scale.

    Shape:
        x, z: (B, T). context: (B, local, T'), where T' divides T, or None.
    """

    def __init__(self, net: WaveNet, bound: float = 8.0) -> None:
        super().__init__()
        self.net = net
        self.conditional = Affine(bound)
        last: Any = net.exit[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def parameters_at(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return means and raw log-scales from all earlier x, (2, B, T)."""
        late = nn.functional.pad(x[:, None], (1, -1))
        return self.net(late, context).movedim(1, 0)

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Data to noise, all samples at once."""
        z, slope = self.conditional.forward(x, self.parameters_at(x, context))
        return z, slope.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data, sample after sample."""
        self.net.check(z[:, None], context)
        length = z.shape[1]
        held = length if context is None else length // context.shape[-1]
        stream = Stream(self.net, z.shape[0])
        zero = torch.zeros_like(z[:, 0])
        x, total = zero, zero
        found, conditions = [], []
        for t in range(length):
            if t % held == 0:
                now = None if context is None else context[..., t // held]
                conditions = stream.conditions(now)
            raw = stream.step(x[:, None], conditions).movedim(1, 0)
            x, slope = self.conditional.inverse(z[:, t], raw)
            found.append(x)
            total = total + slope
        return torch.stack(found, 1), total


class Conditionals(NamedTuple):
    """A sample x, and the logistic that each x_t was drawn from.

    Attributes:
        x: (B, T).
        mean: Of p(x_t | z_<t), (B, T).
        log_scale: Logarithm of its scale, (B, T).
    """

    x: Tensor
    mean: Tensor
    log_scale: Tensor


class Student(nn.Module):
    """Logistic noise through one IAF after the other, in parallel.

    Given z_<t the sample x_t is linear in z_t, so that it has a logistic
    distribution, whose mean and scale are known (eq. 7 and 8).

    Args:
        nets: The network of each step, from noise to sound.
        log_scale: What the logarithm of the scale of x starts as.
    """

    def __init__(
        self, nets: Sequence[WaveNet], log_scale: float = -4.0
    ) -> None:
        super().__init__()
        steps = [CausalMAF(net) for net in nets]
        self.steps: Any = nn.ModuleList(steps)
        bound, last = steps[-1].conditional.bound, steps[-1].net.exit[-1]
        with torch.no_grad():  # an inverse flow divides by its scale
            last.bias[1] = bound * math.atanh(-log_scale / bound)

    @property
    def flow(self) -> Flow:
        """The same as a flow, from sound to noise and back."""
        return Compose(*(Inverse(step) for step in reversed(self.steps)))

    def conditionals(
        self, z: Tensor, context: Tensor | None = None
    ) -> Conditionals:
        """Turn noise into sound, in one pass of each network.

        Args:
            z: Logistic noise, (B, T).
            context: (B, local, T') or None.
        """
        x, mean, total = z, torch.zeros_like(z), torch.zeros_like(z)
        for step in self.steps:
            center, raw = step.parameters_at(x, context)
            s = -step.conditional.log_scale(raw)
            x, mean = (x - center) * s.exp(), (mean - center) * s.exp()
            total = total + s
        return Conditionals(x, mean, total)

    def noise(self, n: int, length: int) -> Tensor:
        """Draw standard logistic noise, (n, length)."""
        like = next(self.parameters())
        u = torch.rand(n, length, dtype=like.dtype, device=like.device)
        return torch.logit(u, eps=torch.finfo(like.dtype).eps)

    @torch.no_grad()
    def sample(
        self, n: int, length: int, context: Tensor | None = None
    ) -> Tensor:
        """Draw sounds (n, length), as numbers around [-1, 1]."""
        return self.conditionals(self.noise(n, length), context).x
