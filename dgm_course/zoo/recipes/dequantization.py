"""Chapter 1: flows on dequantized digits."""

from __future__ import annotations

import torch
from torch import nn

from ... import flows
from ...dequantization import Dequantized
from ..measures import bits_of_all_digits, bits_of_digits, digits
from ..recipe import Recipe


def frequencies() -> torch.Tensor:
    """How often each pixel of the bundled digits has each grey value.

    A tenth is added to each count, since no value is impossible: (784, 256).
    """
    # one bin for each pair of pixel and grey value
    bins = digits(full=False) + 256 * torch.arange(784)
    return 0.1 + bins.flatten().bincount(minlength=784 * 256).view(784, 256)


def realnvp() -> nn.Module:
    """The table of frequencies, and six couplings on shuffled pixels."""
    flow = flows.realnvp(
        784,
        layers=6,
        hidden=(96, 96),
        shuffle=True,
        preprocess=flows.Histogram(frequencies()),
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
        steps={"smoke": 10, "read": 3_000, "full": steps},
        options={**OPTIONS, "batch_size": 256, **options},
    )
    for name, summary, build, steps, options in (
        (
            "mnist_realnvp",
            "RealNVP on vectors, 6 affine couplings over a table",
            realnvp,
            8_000,
            {"lr": 1e-3, "ema": 0.999},
        ),
        ("mnist_nice", "NICE, 4 additive couplings", nice, 20_000, {}),
    )
]
