"""No update with NaN or infinity: the weights before it are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

HINT = (
    "The weights are those before this step; lower lr, clip the gradient, or "
    "look at this batch"
)
Parameters = Sequence[tuple[str, nn.Parameter]]


class NonFiniteLoss(ArithmeticError):
    """The loss or its gradient became NaN or infinite."""


def watch(
    parameters: Parameters,
    where: Callable[[int], str],
    step: int,
    device: torch.device,
) -> Immediate | Deferred:
    """Return what guards the updates of a run on this device.

    Args:
        parameters: The trained parameters with their names.
        where: Describes a step for the error message.
        step: The first step of the run.
        device: Where it trains.
    """
    if device.type == "cpu":
        return Immediate(parameters, where, step)
    return Deferred(parameters, where, step, device)


class Immediate:
    """Looks at every value at once, which costs nothing on a CPU.

    Args: see :func:`watch`.

    Attributes:
        found: None: an update that is reached is a good one.
    """

    found: Tensor | None = None

    def __init__(
        self, parameters: Parameters, where: Callable[[int], str], step: int
    ) -> None:
        self.parameters, self.where, self.step = parameters, where, step

    def loss(self, values: Tensor) -> Tensor | float:
        """Refuse NaN and infinity, and a loss that is not one per sample.

        Args:
            values: What the loss returned; should be (B,).

        Returns:
            A factor of the loss: 1.

        Raises:
            NonFiniteLoss: If a value is not finite.
            ValueError: If the loss has another shape.
        """
        require_one_per_sample(values)
        bad = int((~values.isfinite()).sum())
        if bad:
            raise _bad_loss(self.where(self.step), bad, values.numel())
        return 1.0

    def gradient(self) -> None:
        """Refuse a gradient with NaN or infinity, and name its parameters.

        Raises:
            NonFiniteLoss: If the norm of a parameter's gradient is NaN,
                infinite, or so large that it overflows.
        """
        norm = torch.linalg.vector_norm
        given = [(n, p.grad) for n, p in self.parameters if p.grad is not None]
        norms = {name: norm(gradient) for name, gradient in given}
        if norms and not torch.stack([*norms.values()]).isfinite().all():
            bad = [name for name, size in norms.items() if not size.isfinite()]
            raise _bad_gradient(self.where(self.step), bad)
        self.step += 1

    def settle(self) -> None:
        """Do nothing: whatever was wrong has been told."""


class Deferred:
    """Looks at values on the device, and tells when it is asked.

    Where a value is read, the host waits until the device has done all work
    before it. So the device itself writes down the first bad step, and from
    then on makes no update; :meth:`settle` reads what it wrote.

    Args: see :func:`watch`.

    Attributes:
        found: 1 from the first bad step on, 0 before; a tensor, as fused Adam
            takes it.
    """

    def __init__(
        self,
        parameters: Parameters,
        where: Callable[[int], str],
        step: int,
        device: torch.device,
    ) -> None:
        self.parameters, self.where, self.begin = parameters, where, step
        self.size = self._seen = 0
        self.found = torch.zeros((), device=device)
        self._good = torch.zeros((), device=device, dtype=torch.int64)
        self._now = torch.zeros_like(self._good)
        self._bad = torch.zeros_like(self._good)
        self._where = torch.zeros(len(parameters), device=device).bool()

    def loss(self, values: Tensor) -> Tensor | float:
        """Count values that are not finite.

        Args:
            values: What the loss returned; should be (B,).

        Returns:
            A factor of the loss: 1, or NaN where a value is not finite. Then
            every gradient is NaN, in all processes, and none makes an update.

        Raises:
            ValueError: If the loss has another shape.
        """
        require_one_per_sample(values)
        bad = (~values.detach().isfinite()).sum()
        self._now += bad
        self._seen += values.numel()
        return torch.where(bad > 0, math.nan, 1.0).to(values.dtype)

    def gradient(self) -> None:
        """Note whether a gradient holds NaN or infinity, or overflows."""
        given = [p.grad for _, p in self.parameters if p.grad is not None]
        norms = iter(torch._foreach_norm(given) if given else ())
        zero = torch.zeros_like(self.found)
        sizes = [
            zero if p.grad is None else next(norms) for _, p in self.parameters
        ]
        bad, first = ~torch.stack(sizes).isfinite(), self.found == 0
        self._where = torch.where(first, bad, self._where)
        self._bad = torch.where(first, self._now, self._bad)
        self.found = torch.maximum(self.found, bad.any())
        self._good += self.found == 0
        self._now = torch.zeros_like(self._now)
        self.size, self._seen = self._seen, 0

    def settle(self) -> None:
        """Tell what was wrong, if anything was.

        Raises:
            NonFiniteLoss: Naming the first bad step, its batch, and either
                the number of bad values or the parameters.
        """
        if not self.found.item():
            return
        where = self.where(self.begin + int(self._good.item()))
        bad = int(self._bad.item())
        if bad:
            raise _bad_loss(where, bad, self.size)
        marks = zip(self.parameters, self._where.tolist())
        raise _bad_gradient(
            where, [name for (name, _), is_bad in marks if is_bad]
        )


def require_one_per_sample(values: Tensor) -> None:
    """Refuse what is no loss of each sample, (B,).

    Raises:
        ValueError: If it has another shape.
    """
    if not isinstance(values, Tensor) or values.ndim != 1:
        given = f"is a {type(values).__name__}"
        if isinstance(values, Tensor):
            given = f"has shape {tuple(values.shape)}"
        raise ValueError(
            f"the loss {given}; return one value per sample, (B,), without "
            "averaging"
        )


def _bad_loss(where: str, bad: int, size: int) -> NonFiniteLoss:
    return NonFiniteLoss(
        f"the loss is not finite at {where}: {bad} of {size} values. {HINT}"
    )


def _bad_gradient(where: str, names: list[str]) -> NonFiniteLoss:
    return NonFiniteLoss(
        f"the gradient is not finite at {where}: that of "
        f"{', '.join(names[:3])}{' ...' if names[3:] else ''}. {HINT}"
    )
