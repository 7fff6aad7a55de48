"""No update with NaN or infinity: the weights before it are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

HINT = (
    "The weights are those before this step; lower lr, clip the gradient, or "
    "look at this batch"
)


class NonFiniteLoss(ArithmeticError):
    """The loss or its gradient became NaN or infinite."""


def require_finite_loss(
    values: Tensor, where: Callable[[int], str], step: int
) -> None:
    """Refuse NaN and infinity, and a loss that is not one value per sample.

    Args:
        values: What the loss returned; should be (B,).
        where: Describes a step for the error message.
        step: Number of the update to come.

    Raises:
        NonFiniteLoss: If a value is not finite.
        ValueError: If the loss has another shape.
    """
    if values.ndim != 1:
        raise ValueError(
            f"the loss has shape {tuple(values.shape)}; return one value per "
            "sample, (B,), without averaging"
        )
    bad = int((~values.isfinite()).sum())
    if bad:
        raise NonFiniteLoss(
            f"the loss is not finite at {where(step)}: {bad} of "
            f"{values.numel()} values. {HINT}"
        )


def require_finite_gradient(
    parameters: Iterable[tuple[str, nn.Parameter]],
    where: Callable[[int], str],
    step: int,
) -> None:
    """Refuse a gradient with NaN or infinity, and name its parameters.

    Args:
        parameters: Parameters with their names.
        where: As in :func:`require_finite_loss`.
        step: Number of the update to come.

    Raises:
        NonFiniteLoss: If the norm of a parameter's gradient is NaN, infinite,
            or so large that it overflows.
    """
    norm = torch.linalg.vector_norm
    norms = {n: norm(p.grad) for n, p in parameters if p.grad is not None}
    if not norms or torch.stack([*norms.values()]).isfinite().all():
        return
    bad = [name for name, size in norms.items() if not size.isfinite()]
    raise NonFiniteLoss(
        f"the gradient is not finite at {where(step)}: that of "
        f"{', '.join(bad[:3])}{' ...' if bad[3:] else ''}. {HINT}"
    )
