"""Chapter 1: flows on dequantized digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ... import data, flows
from ...dequantization import Dequantized
from ...likelihoods import bits_per_dim
from ...verify import mean_and_se
from ..card import Metric
from ..recipe import Metrics, Recipe


def realnvp() -> nn.Module:
    """Six affine couplings on the 784 pixels of a digit."""
    flow = flows.realnvp(
        784, layers=6, hidden=(112, 112), preprocess=flows.Logit()
    )
    return Dequantized(flow)


def nice() -> nn.Module:
    """NICE (Dinh et al., 2014), with narrower networks than the paper's."""
    model = flows.nice(784, layers=4, hidden=(200, 200))
    flow = flows.Compose(flows.Logit(), model.flow)
    return Dequantized(flows.FlowModel(flow, model.base))


def digits(split: str = "train", full: bool | None = None) -> torch.Tensor:
    """MNIST as rows of 784 bytes."""
    return data.mnist(split, full=full).images.flatten(1)


def bits(model: Any, rows: torch.Tensor) -> Metric:
    """Bits per dimension by the ELBO, one noise sample per picture."""
    nats = torch.cat([model.elbo(part) for part in rows.split(500)])
    mean, se = mean_and_se(bits_per_dim(nats, 784))
    return Metric(mean, se, "bits/dim", len(rows))


def evaluate(model: Any) -> Metrics:
    """The bundled 2,000 test digits."""
    return {"test, bundled 2,000": bits(model, digits("test", full=False))}


def evaluate_full(model: Any) -> Metrics:
    """All 10,000 test digits."""
    return {"test": bits(model, digits("test", full=True))}


OPTIONS = {"lr": 2e-3, "cosine": True, "clip": 1000.0, "ema": 0.99}
RECIPES = [
    Recipe(
        name=name,
        chapter=1,
        summary=summary,
        split="MNIST train, uniform dequantization",
        build=build,
        data=digits,
        evaluate=evaluate,
        evaluate_full=evaluate_full,
        steps={"smoke": 10, "read": 3_000, "full": 20_000},
        options={**OPTIONS, "batch_size": 256},
    )
    for name, summary, build in (
        ("mnist_realnvp", "RealNVP on vectors, 6 affine couplings", realnvp),
        ("mnist_nice", "NICE, 4 additive couplings", nice),
    )
]
