"""Chapter 2: flows over pictures, under uniform and under learned noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ... import data
from ...data import Images
from ...dequantization import Dequantized, variational
from ...flows import FlowModel, flowpp, glow, realnvp_pictures
from ...likelihoods import bits_per_dim
from ..measures import each, metric, paired
from ..recipe import Metrics, Recipe
from ..store import load

Set = Callable[..., Images]
GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def images(pictures: Set) -> Tensor:
    """The training pictures, uint8; the profile decides how many."""
    return pictures("train").images


def model(
    flow: Callable[..., FlowModel], shape: tuple[int, ...], learned: bool
) -> nn.Module:
    """A flow over pictures, under uniform or under learned noise."""
    noise = variational(shape) if learned else None
    whole: Any = Dequantized(flow(shape), noise)
    # the order in memory in which convolutions in bfloat16 are fastest
    return whole.to(memory_format=torch.channels_last)


def further(base: str, learned: bool) -> nn.Module:
    """The flow of a trained model, to be trained on under either noise."""
    trained: Any = load(base)
    noise = variational(GREY) if learned else None
    whole: Any = Dequantized(trained.model, noise)
    return whole.to(memory_format=torch.channels_last)


def code_length(model: Any, x: Tensor) -> Tensor:
    """Bits per dimension of each picture by the ELBO, one noise sample."""
    return bits_per_dim(each(model.elbo, x, 250), x[0].numel())


def judge(
    pictures: Set, where: str, full: bool, rival: str, model: Any
) -> Metrics:
    """The ELBO of test pictures, and the gain over another model on them."""
    x = pictures("test", full=full).images
    own = code_length(model, x)
    metrics = {f"elbo, {where}": metric(own, "bits/dim")}
    if rival:
        gain = paired(code_length(load(rival), x), own, "bits/dim")
        metrics[f"gain over {rival}, {where}"] = gain
    return metrics


def tighten(pictures: Set, full: bool, model: Any) -> Metrics:
    """How far 64 samples of the noise bring the bound, on 50 pictures."""
    x = pictures("test", full=full).images[:50]
    one, many = (
        bits_per_dim(each(partial(model.iw_bound, k=k), x), x[0].numel())
        for k in (1, 64)
    )
    return {
        "iw_bound, k = 64, 50 test pictures": metric(many, "bits/dim"),
        "gain of k = 64 over 1, the same": paired(one, many, "bits/dim"),
    }


def evaluate(pictures: Set, where: str, rival: str, model: Any) -> Metrics:
    """What the package bundles."""
    metrics = judge(pictures, f"test, bundled {where}", False, rival, model)
    return metrics | tighten(pictures, False, model)


def evaluate_photographs(model: Any) -> Metrics:
    """CIFAR-10, of which nothing is bundled."""
    metrics = judge(data.cifar10, "test", True, "", model)
    return metrics | tighten(data.cifar10, True, model)


# in bfloat16 the networks are three times faster, on a CPU with AMX too
OPTIONS = {
    "lr": 5e-3,
    "warmup": 50,
    "cosine": True,
    "clip": 1000.0,
    "batch_size": 32,
    "bf16": True,
}
SETS: dict[str, tuple[Set, str, str]] = {
    "fashion": (data.fashion_mnist, "Fashion-MNIST", "1,000"),
    "mnist": (data.mnist, "MNIST", "2,000"),
}


def _recipe(
    name: str,
    summary: str,
    flow: Callable[..., FlowModel],
    learned: bool,
    **changes: Any,
) -> Recipe:
    pictures, title, bundled = SETS[name.partition("_")[0]]
    noise = "variational" if learned else "uniform"
    common: dict[str, Any] = {
        "build": partial(model, flow, GREY, learned),
        "evaluate": partial(evaluate, pictures, bundled, ""),
        "evaluate_full": partial(judge, pictures, "test", True, ""),
        "steps": {"smoke": 5, "read": 150, "full": 3_000},
        "options": OPTIONS,
    }
    return Recipe(
        name=name,
        chapter=2,
        summary=summary,
        split=f"{title} train, {noise} dequantization",
        data=partial(images, pictures),
        **(common | changes),
    )


def _photographs(
    name: str, summary: str, flow: Callable[..., FlowModel], learned: bool
) -> Recipe:
    """As large as a GPU trains in a night."""
    noise = "variational" if learned else "uniform"
    return Recipe(
        name=f"cifar10_{name}",
        chapter=2,
        summary=summary,
        split=f"CIFAR-10 train, {noise} dequantization",
        build=partial(model, flow, COLOUR, learned),
        data=partial(images, data.cifar10),
        evaluate=None,
        evaluate_full=evaluate_photographs,
        steps={"smoke": 5, "read": 150, "full": 200_000},
        options=OPTIONS | {"lr": 1e-3, "warmup": 2_000, "batch_size": 64},
        ship=False,
    )


GLOW = "Glow, two levels of 4 steps"
CLOTHES = data.fashion_mnist, "1,000"
small_glow = partial(glow, steps=(4, 4), hidden=128)
small_realnvp = partial(realnvp_pictures, scales=2, hidden=48)
# attention between the 392 places of a checkerboard would take most of the
# time: the squeeze comes first
small_flowpp = partial(flowpp, couplings=(0, 2, 2), channels=32, heads=2)
FLOWPP = "Flow++, 4 couplings"
# small layers and attention gain nothing from bfloat16
SHORT: dict[str, Any] = {
    "steps": {"smoke": 5, "read": 50, "full": 800},
    "options": OPTIONS | {"lr": 3e-3, "batch_size": 16, "bf16": False},
    "evaluate_full": None,
}
RECIPES = [
    _recipe("fashion_glow", GLOW, small_glow, False),
    _recipe(
        "fashion_realnvp_pictures",
        "RealNVP, two scales of checkerboards and channels",
        small_realnvp,
        False,
        steps={"smoke": 5, "read": 100, "full": 600},
    ),
    _recipe("fashion_flowpp", FLOWPP, small_flowpp, True, **SHORT),
]
# digits: both from the beginning
DIGITS: dict[str, Any] = {"steps": {"smoke": 5, "read": 100, "full": 1_000}}
RECIPES += [
    _recipe("mnist_glow", GLOW, small_glow, False, **DIGITS),
    _recipe(
        "mnist_glow_variational",
        f"{GLOW}, noise of 2 couplings",
        small_glow,
        True,
        evaluate=partial(evaluate, data.mnist, "2,000", "mnist_glow"),
        evaluate_full=partial(judge, data.mnist, "test", True, "mnist_glow"),
        **DIGITS,
    ),
]
# with about a million parameters, beside UvA's 1.08 and 1.04; and the others
WIDE = "Glow, two levels of 6 steps, 224 channels"
wide_glow = partial(glow, steps=(6, 6), hidden=224)
LONGER: dict[str, Any] = {"steps": {"smoke": 5, "read": 50, "full": 4_000}}
RECIPES += [
    _recipe("mnist_glow_wide", WIDE, wide_glow, False, **LONGER),
    _recipe(
        "mnist_glow_wide_variational",
        f"{WIDE}, noise of 2 couplings",
        wide_glow,
        True,
        evaluate=partial(evaluate, data.mnist, "2,000", "mnist_glow_wide"),
        evaluate_full=partial(
            judge, data.mnist, "test", True, "mnist_glow_wide"
        ),
        ship=False,
        **LONGER,
    ),
    _recipe(
        "mnist_realnvp_pictures",
        "RealNVP, two scales of checkerboards and channels",
        partial(realnvp_pictures, scales=2, hidden=76),
        False,
        **DIGITS,
        ship=False,
    ),
    _recipe("mnist_flowpp", FLOWPP, small_flowpp, True, **SHORT, ship=False),
]
# A density that is wide beside a cube is flat inside of it, and uniform noise
# is right: learned noise pays once the flow is sharp. So the pair goes on from
# one trained flow, with as many steps and the same batches each.
PAIR: dict[str, Any] = {
    "steps": {"smoke": 5, "read": 100, "full": 600},
    "options": OPTIONS | {"lr": 3e-3},
}
RECIPES += [
    _recipe(
        "fashion_glow_uniform",
        "fashion_glow, trained on under uniform noise",
        small_glow,
        False,
        build=partial(further, "fashion_glow", False),
        **PAIR,
    ),
    _recipe(
        "fashion_glow_variational",
        "fashion_glow, trained on under noise of 2 couplings",
        small_glow,
        True,
        build=partial(further, "fashion_glow", True),
        evaluate=partial(evaluate, *CLOTHES, "fashion_glow_uniform"),
        evaluate_full=partial(
            judge, data.fashion_mnist, "test", True, "fashion_glow_uniform"
        ),
        **PAIR,
    ),
]
# what is left when one part of Flow++ is left out: cards without weights
RECIPES += [
    _recipe(
        f"fashion_flowpp_{name}",
        f"{FLOWPP}, {without}",
        flow,
        learned,
        **SHORT
        | {
            "evaluate": partial(evaluate, *CLOTHES, "fashion_flowpp"),
            "ship": False,
        },
    )
    for name, without, flow, learned in (
        ("uniform", "uniform noise", small_flowpp, False),
        ("affine", "affine maps", partial(small_flowpp, components=0), True),
        ("plain", "no attention", partial(small_flowpp, heads=0), True),
    )
]
RECIPES += [
    _photographs(
        "realnvp",
        "RealNVP, three scales",
        partial(realnvp_pictures, scales=3, hidden=64),
        False,
    ),
    _photographs(
        "glow",
        "Glow, three levels of 32 steps",
        partial(glow, steps=(32, 32, 32), hidden=512),
        False,
    ),
    _photographs(
        "flowpp",
        "Flow++ of the paper, 9 couplings of 10 blocks",
        partial(flowpp, channels=96, blocks=10, components=32, dropout=0.2),
        True,
    ),
]
