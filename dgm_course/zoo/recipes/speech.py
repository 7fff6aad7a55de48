"""Chapter 6: WaveNets on one voice, the baselines, and a student.

A number is a mean over recordings, weighted by their lengths.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...likelihoods import (
    Categorical,
    DiscretizedLogistics,
    bits_per_dim,
    mu_law,
)
from ...wavenet import (
    Constant,
    Distillation,
    LinearPredictor,
    Student,
    Teacher,
    WaveNet,
    power_distance,
)
from ..card import Metric
from ..measures import metric
from ..recipe import Metrics, Recipe
from ..recordings import (
    BANDS,
    CLASSES,
    CONTEXT,
    LENGTH,
    as_number,
    crops,
    cut,
    in_rows,
    windows,
)
from ..store import load

DILATIONS = tuple(2**i for i in range(9))  # a receptive field of 512 samples
ORDER, COMPONENTS = 16, 10
POWER = 0.1
UNIT = 1 / 32  # a few scales of what the past does not tell
LOUDER = 3.0


def as_levels(model: Any, sound: Tensor) -> Tensor:
    """Return 16-bit sound as the levels of a teacher, (B, 1, T)."""
    if model.likelihood.levels == 256:
        return mu_law.encode(as_number(sound))[:, None]
    return sound[:, None].int() + 32768


def loss(model: Any, batch: Any, step: int) -> Tensor:
    """Nats per sample, (B,); a teacher with features does without in half."""
    sound, known, label = cut(batch)
    x = as_levels(model, sound)
    if model.net.locals:
        half = len(x) // 2
        first = model.log_prob(x[:half], known[:half], context=CONTEXT)
        second = model.log_prob(x[half:], context=CONTEXT)
        return -torch.cat([first, second]) / LENGTH
    given = label if model.net.classes else None
    return -model.log_prob(x, None, given, CONTEXT) / LENGTH


def nats(
    model: Any, split: str, full: bool, known: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the code length of each recording, and its samples, (n,) both."""
    found, lengths = [], []
    for row in in_rows(split, full):
        sounds, frames, labels = windows(row, CONTEXT + LENGTH, LENGTH)
        values = []
        for some, local, label in zip(
            sounds.split(16), frames.split(16), labels.split(16)
        ):
            values.append(
                -model.log_probs(
                    as_levels(model, some),
                    local if known else None,
                    label if model.net.classes else None,
                    CONTEXT,
                )
            )
        each = torch.cat(values).double().flatten()[: sum(row.lengths)]
        found += [part.sum() for part in each.split(row.lengths)]
        lengths += row.lengths
    return torch.stack(found), torch.tensor(lengths).double()


def per_sample(total: Tensor, lengths: Tensor) -> Metric:
    """Bits per sample over all recordings, with the error of a ratio.

    Args:
        total: Nats of each recording, (n,).
        lengths: Its samples, (n,).
    """
    bits = bits_per_dim(-total, 1)
    mean = bits.sum() / lengths.sum()
    # to first order the ratio varies as the mean of what is left over
    left = metric((bits - mean * lengths) / lengths.mean())
    return Metric(mean.item(), left.se, "bits/sample", len(total))


def _bits(model: Any, full: bool, where: str) -> Metrics:
    metrics = {where: per_sample(*nats(model, "test", full))}
    if model.net.locals:
        given = per_sample(*nats(model, "test", full, known=True))
        metrics[f"{where}, given features"] = given
    return metrics


def evaluate(model: Any) -> Metrics:
    """The seven bundled test recordings."""
    return _bits(model, False, "test, bundled")


def evaluate_full(model: Any) -> Metrics:
    """All test recordings."""
    return _bits(model, True, "test")


def histogram() -> nn.Module:
    """The frequencies of the 256 levels."""
    return Teacher(Constant(256), Categorical(256))


def linear(levels: int) -> nn.Module:
    """A linear predictor, in the scale of the levels."""
    likelihood = DiscretizedLogistics(levels, COMPONENTS)
    return Teacher(LinearPredictor(ORDER, COMPONENTS), likelihood)


def teacher_8() -> nn.Module:
    """256 levels, and the class of the recording as a global condition."""
    net = WaveNet(1, 256, dilations=DILATIONS, classes=len(CLASSES) + 1)
    return Teacher(net, Categorical(256))


def teacher_16() -> nn.Module:
    """65,536 levels, and log-mel bands as a local condition."""
    likelihood = DiscretizedLogistics(65_536, COMPONENTS, unit=UNIT)
    net = WaveNet(1, likelihood.outputs, dilations=DILATIONS, local=BANDS)
    with torch.no_grad():  # the sound has a standard deviation near 0.1
        net.enter.weight *= LOUDER
    return Teacher(net, likelihood)


def untrained_student() -> Student:
    """Two flows of nine layers each."""
    nets = [
        WaveNet(1, 2, skips=32, dilations=DILATIONS, local=BANDS)
        for _ in range(2)
    ]
    return Student(nets)


def student() -> nn.Module:
    """A student of the 16-bit teacher."""
    teacher: Any = load("prompts_wavenet_16")
    return Distillation(untrained_student(), teacher)


def distil(model: Any, batch: Any, step: int) -> Tensor:
    """KL(student || teacher) in nats per sample, and a little power loss."""
    sound, known, _ = cut(batch)
    found = model.divergence(*sound.shape, known, context=CONTEXT)
    real = as_number(sound)[:, CONTEXT:]
    return found.kl + POWER * power_distance(found.x[:, CONTEXT:], real)


def divergences(model: Any, full: bool, where: str) -> Metrics:
    """KL per sample, given the features of test recordings."""
    metrics = {}
    before = Distillation(untrained_student(), model.teacher)
    for name, judged in (("before", before), ("after", model)):
        torch.manual_seed(1)
        kl = []
        for row in in_rows("test", full):
            _, frames, _ = windows(row, CONTEXT + LENGTH, LENGTH)
            for local in frames.split(8):
                found = judged.divergence(
                    len(local), CONTEXT + LENGTH, local, 4, CONTEXT
                )
                kl.append(found.kl)
        metrics[f"KL {name}, {where}"] = metric(torch.cat(kl), "nats/sample")
    return metrics


def evaluate_student(model: Any) -> Metrics:
    """On the features of the bundled test recordings."""
    return divergences(model, False, "test, bundled")


def evaluate_student_full(model: Any) -> Metrics:
    """On those of all test recordings."""
    return divergences(model, True, "test")


OPTIONS: dict[str, Any] = {
    "lr": 1e-3,
    "warmup": 50,
    "batch_size": 2,
    "clip": 1.0,
    "ema": 0.99,
}


def _recipe(name: str, summary: str, build: Any, **changes: Any) -> Recipe:
    common: dict[str, Any] = {
        "loss": loss,
        "evaluate": evaluate,
        "evaluate_full": evaluate_full,
        "steps": {"smoke": 2, "read": 100, "full": 1_500},
        "options": OPTIONS,
    }
    return Recipe(
        name=f"prompts_{name}",
        chapter=6,
        summary=summary,
        split="prompts train",
        build=build,
        data=crops,
        **(common | changes),
    )


QUICK: dict[str, Any] = {
    "steps": {"smoke": 2, "read": 100, "full": 400},
    "options": {"lr": 2e-2, "batch_size": 4, "cosine": True},
}
RECIPES = [
    _recipe(
        "histogram",
        "histogram of 256 levels",
        histogram,
        steps={"smoke": 2, "read": 100, "full": 100},
        options={"lr": 0.2, "batch_size": 4, "cosine": True},
    ),
    _recipe(
        "linear_8",
        f"linear predictor of order {ORDER}, 256 levels",
        partial(linear, 256),
        **QUICK,
    ),
    _recipe(
        "linear_16",
        f"linear predictor of order {ORDER}, 16 bits",
        partial(linear, 65_536),
        **QUICK,
    ),
    _recipe("wavenet_8", "WaveNet on 256 levels, given its class", teacher_8),
    _recipe(
        "wavenet_16",
        "WaveNet on 16 bits, given features",
        teacher_16,
        steps={"smoke": 2, "read": 100, "full": 3_000},
        options=OPTIONS | {"lr": 3e-3, "cosine": True, "clip": 20.0},
    ),
    _recipe(
        "student",
        "two inverse flows, distilled from prompts_wavenet_16",
        student,
        options=OPTIONS | {"cosine": True},
        loss=distil,
        evaluate=evaluate_student,
        evaluate_full=evaluate_student_full,
    ),
]
