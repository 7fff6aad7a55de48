"""What a training run leaves behind: losses with standard errors."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Curve:
    """A quantity over training steps, each value with its standard error."""

    step: list[int] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    se: list[float] = field(default_factory=list)

    def append(self, step: int, mean: float, se: float) -> None:
        """Add one point."""
        self.step.append(step)
        self.mean.append(mean)
        self.se.append(se)


@dataclass
class History:
    """The course of a run of :func:`dgm_course.training.fit`.

    Attributes:
        loss: Training loss in nats per sample, averaged over all samples
            between two points; the standard error is over these samples.
        validation: The same on held-out data, where ``fit`` was given some.
        steps: Updates that were made, over all resumed parts.
        seconds: Wall time spent in training, over all resumed parts.
        device: Where the model was trained.
        stopped: "finished", "out of time", or "interrupted".
    """

    loss: Curve = field(default_factory=Curve)
    validation: Curve = field(default_factory=Curve)
    steps: int = 0
    seconds: float = 0.0
    device: str = ""
    stopped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """Undo :meth:`to_dict`."""
        curves = {k: Curve(**data[k]) for k in ("loss", "validation")}
        return cls(**{**data, **curves})

    def plot(self, label: str = "loss (nats)", axes: Any = None) -> Any:
        """Draw the curves with bands of two standard errors.

        Args:
            label: Name of the vertical axis.
            axes: Matplotlib axes to draw into; None makes a figure.

        Returns:
            The figure; show it with :class:`dgm_course.plots.show`.
        """
        from .plots import subplots

        if axes is None:
            axes = subplots()[1]
        for name in ("loss", "validation"):
            curve = getattr(self, name)
            if not curve.step:
                continue
            text = "training" if name == "loss" else "held out"
            axes.plot(curve.step, curve.mean, label=text)
            low = [m - 2 * s for m, s in zip(curve.mean, curve.se)]
            high = [m + 2 * s for m, s in zip(curve.mean, curve.se)]
            axes.fill_between(curve.step, low, high, alpha=0.3)
        axes.set_xlabel("training step")
        axes.set_ylabel(label)
        axes.legend()
        return axes.figure


@dataclass
class Window:
    """Running mean and standard error between two points of a curve.

    The sums stay on the device of the values, which need not wait, until
    :meth:`numbers` or the mean is asked for.
    """

    total: float | Tensor = 0.0
    squares: float | Tensor = 0.0
    count: int = 0

    def add(self, values: Tensor) -> None:
        """Add the values of a batch, of any shape."""
        values = values.detach()
        if values.device.type != "mps":  # Apple's GPUs have no float64
            values = values.double()
        self.total = self.total + values.sum()
        self.squares = self.squares + values.square().sum()
        self.count += values.numel()

    def numbers(self) -> tuple[float, float, int]:
        """Return the sum, the sum of squares and the number of values."""
        return float(self.total), float(self.squares), self.count

    def mean_and_se(self) -> tuple[float, float]:
        """Return the mean, and its standard error (NaN for one sample)."""
        total, squares, count = self.numbers()
        mean = total / count
        if count < 2:
            return mean, math.nan
        spread = squares / count - mean**2
        # in this order NaN stays NaN: max(0.0, nan) is 0.0
        return mean, math.sqrt(max(spread, 0.0) / (count - 1))
