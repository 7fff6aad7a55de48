"""Sound in 8 bits: fine steps near silence, coarse ones where it is loud.

Van den Oord et al., "WaveNet", 2016, section 2.2: with mu = 255, the sound x
in [-1, 1] becomes f = ``sign(x) log(1 + mu |x|) / log(1 + mu)``, and f is
rounded to one of 256 levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..sight import in_sight

MU = 255


def encode(x: Tensor) -> Tensor:
    """Return the level of each sample of sound, uint8.

    Args:
        x: Sound in [-1, 1], any shape.

    Raises:
        ValueError: If it is louder, or holds integers.
    """
    loud = x.numel() > 0 and in_sight(x) and not bool((x.abs() <= 1).all())
    if not x.is_floating_point() or loud:
        raise ValueError(
            f"x holds {x.dtype} values from {x.min().item():g} to "
            f"{x.max().item():g}; expected sound in [-1, 1] (divide 16-bit "
            "integers by 32768)"
        )
    f = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return (0.5 * MU * (f + 1)).round().to(torch.uint8)


def decode(code: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the sound in the middle of each level, in [-1, 1].

    Args:
        code: Levels in {0, ..., 255}, any shape.
        dtype: Of the sound.
    """
    f = 2 * code.to(dtype) / MU - 1
    x = torch.expm1(f.abs() * math.log1p(MU)) / MU
    return f.sign() * x.clamp(max=1)  # which rounding may exceed
