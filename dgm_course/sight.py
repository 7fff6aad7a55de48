"""Which values may be looked at, and when.

A check of values costs nothing on a CPU. An accelerator would be waited for, a
compiled graph broken, and inside of ``torch.func`` there is no single value.
"""

from __future__ import annotations

import torch
from torch import Tensor


def in_sight(x: Tensor) -> bool:
    """Return whether the values of x, of any shape, cost nothing to look at.

    An accelerator would be waited for, and a compiled graph broken.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def with_values(fixed: Tensor) -> Tensor:
    """Return a tensor that the constructor fixes, and no file will restore.

    Args:
        fixed: A buffer of any shape.

    Raises:
        ValueError: If it is on the meta device, where it has no values.
    """
    if fixed.device.type == "meta":
        raise ValueError(
            "a buffer on the meta device has no values, and weights that are "
            "loaded later bring none; build the model on the CPU, then move it"
        )
    return fixed


def holds(condition: Tensor) -> bool:
    """Return the truth of a 0-d condition, False where it is out of sight.

    Inside ``torch.func.vmap``, in a compiled graph, and on the meta device
    there is no single value to look at.
    """
    if torch.compiler.is_compiling():
        return False
    try:
        return bool(condition)
    except RuntimeError:
        return False
