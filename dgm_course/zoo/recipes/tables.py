"""The MAGIC table: log-likelihoods in nats, on standardized columns."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ... import data, flows
from ...verify import mean_and_se
from ..card import Metric
from ..recipe import Metrics, Recipe


def train_rows() -> Tensor:
    """The training split."""
    return data.magic().train


def evaluate(model: Any) -> Metrics:
    """Log-likelihood of validation and test rows."""
    table, metrics = data.magic(), {}
    for name in ("validation", "test"):
        rows = getattr(table, name)
        mean, se = mean_and_se(model.log_prob(rows))
        metrics[name] = Metric(mean, se, "nats", len(rows))
    return metrics


def gaussian() -> flows.FlowModel:
    """A Gaussian with full covariance, as a flow of one affine layer."""
    return flows.FlowModel(flows.TriangularAffine(10), flows.StandardNormal(10))


RECIPES = [
    Recipe(
        name="magic_gaussian",
        chapter=4,
        summary="Gaussian with full covariance, the baseline",
        split="MAGIC train",
        build=gaussian,
        data=train_rows,
        evaluate=evaluate,
        steps={"smoke": 20, "read": 4_000, "full": 4_000},
        options={"lr": 1e-2, "cosine": True, "batch_size": 1024},
    )
]
