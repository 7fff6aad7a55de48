"""Chapter 4: autoregressive flows on dequantized digits, of about one size."""

from __future__ import annotations

from torch import nn

from ... import flows
from ...dequantization import Dequantized
from ..measures import bits_of_all_digits, bits_of_digits, digits
from ..recipe import Recipe
from .dequantization import OPTIONS


def pixels() -> flows.Flow:
    """Logits in units that are learned for each pixel.

    A black pixel has a spread of about 0.02, less than the bounded scale of
    one conditional can follow.
    """
    return flows.Compose(flows.Logit(), flows.ElementwiseAffine(784))


def made() -> nn.Module:
    """One Gaussian MADE on the pixels."""
    flow = flows.maf(784, layers=1, hidden=(300,), preprocess=pixels())
    return Dequantized(flow)


def maf() -> nn.Module:
    """Five of them with the order reversed in between, and narrower."""
    flow = flows.maf(784, layers=5, hidden=(72,), preprocess=pixels())
    return Dequantized(flow)


def maf_mog() -> nn.Module:
    """Four Gaussian MADEs, and one with mixtures of four next to the noise."""
    flow = flows.maf(
        784, layers=5, hidden=(48,), components=4, preprocess=pixels()
    )
    return Dequantized(flow)


RECIPES = [
    Recipe(
        name=name,
        chapter=4,
        summary=summary,
        split="MNIST train, uniform dequantization",
        build=build,
        data=digits,
        evaluate=bits_of_digits,
        evaluate_full=bits_of_all_digits,
        steps={"smoke": 10, "read": 1_000, "full": steps},
        options={**OPTIONS, "batch_size": 128},
        ship=name in ("mnist_maf", "mnist_maf_mog"),
    )
    for name, summary, build, steps in (
        ("mnist_made", "Gaussian MADE, one hidden layer", made, 4_000),
        ("mnist_maf", "MAF, five MADEs of one hidden layer", maf, 9_000),
        (
            "mnist_maf_mog",
            "MAF, five MADEs, mixtures of 4 next to the noise",
            maf_mog,
            6_000,
        ),
    )
]
