"""Chapter 1: flows on dequantized digits."""

from __future__ import annotations

from torch import nn

from ... import flows
from ...dequantization import Dequantized
from ..measures import bits_of_all_digits, bits_of_digits, digits
from ..recipe import Recipe


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


OPTIONS = {"lr": 2e-3, "cosine": True, "clip": 1000.0, "ema": 0.99}
RECIPES = [
    Recipe(
        name=name,
        chapter=1,
        summary=summary,
        split="MNIST train, uniform dequantization",
        build=build,
        data=digits,
        evaluate=bits_of_digits,
        evaluate_full=bits_of_all_digits,
        steps={"smoke": 10, "read": 3_000, "full": 20_000},
        options={**OPTIONS, "batch_size": 256},
    )
    for name, summary, build in (
        ("mnist_realnvp", "RealNVP on vectors, 6 affine couplings", realnvp),
        ("mnist_nice", "NICE, 4 additive couplings", nice),
    )
]
