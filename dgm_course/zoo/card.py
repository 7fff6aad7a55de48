"""What is known of a trained model: its card, one JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

from ..files import atomic_write
from ..history import History


class Metric(NamedTuple):
    """A measured number.

    Attributes:
        mean: The average over ``n`` objects.
        se: Its standard error.
        unit: "nats" or "bits/dim" or another unit, per object.
        n: Number of objects.
    """

    mean: float
    se: float
    unit: str
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.se:.3f} {self.unit}"


@dataclass
class Card:
    """The record of one training run.

    Attributes:
        recipe: Name of the recipe.
        profile: Profile in which it was trained.
        data: Data set and split, in words, with the number of rows.
        device: Where it was trained.
        seconds: How long, over all resumed parts.
        steps: Updates that were made.
        stopped: "finished", "out of time" or "interrupted".
        parameters: Number of trained numbers.
        seed: Seed of weights, batches and noise.
        torch: Version of torch.
        metrics: Scores of the weights as they are stored.
        history: Training curves.
        sha256: Hash of the weights' file; empty if no weights are shipped.
        over_seeds: For a recipe with several seeds, the mean of each metric
            for each of them that was trained, this card's own first. A
            metric's standard error tells how the mean varies with the
            objects; this tells how it varies with the seed.
    """

    recipe: str
    profile: str
    data: str
    device: str
    seconds: float
    steps: int
    stopped: str
    parameters: int
    seed: int
    torch: str
    metrics: dict[str, Metric]
    history: History
    sha256: str
    over_seeds: dict[str, list[float]] = field(default_factory=dict)

    def spread(self, metric: str) -> float:
        """Standard deviation of a metric over seeds; NaN for one seed."""
        values = self.over_seeds.get(metric, [])
        return stdev(values) if len(values) > 1 else math.nan

    def write(self, path: Path) -> None:
        """Write the card as JSON, atomically."""
        fields = asdict(self)
        fields["metrics"] = {k: m._asdict() for k, m in self.metrics.items()}
        fields["history"] = _rounded(self.history.to_dict())
        text = json.dumps(fields, indent=1, ensure_ascii=False) + "\n"
        with atomic_write(path) as file:
            file.write(text.encode())

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            ValueError: If the file is no card.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            metrics = fields["metrics"].items()
            fields["metrics"] = {k: Metric(**m) for k, m in metrics}
            fields["history"] = History.from_dict(fields["history"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a card ({type(error).__name__}: {error}); "
                "restore it, or train its model again"
            ) from error


def _rounded(value: Any) -> Any:
    """Six digits are enough for a curve, and keep the cards short."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return value
