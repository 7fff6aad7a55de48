"""What one process does and what two do, to be compared.

``torchrun ... processes.py FOLDER`` runs :func:`work` in each process.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from dgm_course import flows, likelihoods, pixel, reversible, vae
from dgm_course.cli import main
from dgm_course.training import evaluate, fit, sample

CPU = {"device": "cpu", "progress": False}
ROWS = 9  # an odd number, and a batch that two processes cannot halve
BATCH = 7


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def bytes_of(*shape):
    return (256 * drawn(ROWS, *shape)).byte()


def dequantized(model, batch, step):
    pixels, noise = batch
    return -model.log_prob(pixels + noise)


def with_noise(model, batch, step):
    """The library's own ELBO, with the noise that is given."""
    pixels, noise = batch
    with mock.patch.object(torch, "randn_like", lambda like: noise):
        return -model.elbo(pixels)


def wrong(model, batch, step):
    pictures, labels = batch
    return cross_entropy(model(pictures), labels, reduction="none")


def likely(model, batch, step):
    return -model.log_prob(batch)


@dataclass(frozen=True)
class Case:
    """A model, its data, its loss; ``batchwise`` if rows see each other."""

    build: Callable
    data: object
    loss: Callable
    batchwise: bool = False

    def model(self):
        torch.manual_seed(0)
        return self.build().double()


def pixel_cnn():
    likelihood = likelihoods.Categorical(4)
    net = pixel.PixelCNN(1, likelihood.width(1), hidden=4, blocks=1, last=8)
    return pixel.PixelModel(net, likelihood, (1, 4, 4))


NOISY = bytes_of(1, 8, 8), drawn(ROWS, 1, 8, 8, seed=1)
LABELLED = drawn(ROWS, 1, 8, 8), torch.arange(ROWS) % 3
CASES = {
    "RealNVP": Case(
        lambda: flows.realnvp(3, layers=2, hidden=(8,)), drawn(ROWS, 3), likely
    ),
    "RealNVP, pictures": Case(
        lambda: flows.realnvp_pictures((1, 8, 8), hidden=4, couplings=2),
        NOISY,
        dequantized,
        batchwise=True,
    ),
    "Glow": Case(
        lambda: flows.glow((1, 8, 8), steps=(1, 1), hidden=4),
        NOISY,
        dequantized,
        batchwise=True,
    ),
    "VAE": Case(
        lambda: vae.mlp_vae(2, hidden=(8,), shape=(1, 4, 4)),
        ((drawn(ROWS, 1, 4, 4) > 0.5).byte(), drawn(ROWS, 2, seed=1) - 0.5),
        with_noise,
    ),
    "RevNet": Case(
        lambda: reversible.RevNet((2, 2), (4, 8), channels=1, classes=3),
        LABELLED,
        wrong,
        batchwise=True,
    ),
    "i-RevNet": Case(
        lambda: reversible.IRevNet((1, 8, 8), (1, 1), (4, 4), classes=3),
        LABELLED,
        wrong,
        batchwise=True,
    ),
    "PixelCNN": Case(pixel_cnn, bytes_of(1, 4, 4) % 4, likely),
}


def one_step(case):
    """Gradients, buffers and loss of one step, and the loss behind it."""
    model = case.model()
    history = fit(
        model,
        case.data,
        case.loss,
        steps=1,
        batch_size=BATCH,
        validation=case.data,
        **CPU,
    )
    gradients = {k: p.grad for k, p in model.named_parameters()}
    points = [*history.loss.mean, *history.loss.se, *history.validation.mean]
    return gradients, dict(model.named_buffers()), points


def judged(batches=None):
    """A noisy loss over an odd number of rows, and an odd number of samples."""
    model = CASES["RealNVP"].model()

    def loss(model, x, step):
        if batches is not None:
            batches.append(len(x))
        return -model.log_prob(x + torch.rand_like(x))

    rows = drawn(11, 3, seed=2)
    before = torch.get_rng_state()
    found = evaluate(model, rows, loss, batch_size=2), sample(model, 11, 2)
    assert torch.equal(before, torch.get_rng_state()) and model.training
    return found


def train(steps, checkpoint):
    """Train up to a step; go on from the checkpoint that is there."""
    case = CASES["RealNVP"]
    model = case.model()
    history = fit(
        model,
        case.data,
        case.loss,
        steps=steps,
        batch_size=BATCH,
        accumulate=2,
        lr=1e-2,
        ema=0.5,
        checkpoint=checkpoint,
        resume=True,
        **CPU,
    )
    return model.state_dict(), history.steps


def interrupted(checkpoint):
    """Two steps of 300, of which three make a point of the curve."""

    def loss(model, batch, step):
        if step == 1 and os.environ.get("RANK", "1") == "1":
            signal.raise_signal(signal.SIGINT)
        return likely(model, batch, step)

    case = CASES["RealNVP"]
    options = {"batch_size": BATCH, "checkpoint": checkpoint, **CPU}
    return fit(case.model(), case.data, loss, steps=300, **options).stopped


def drawn_by_command(path):
    """Three batches, the last of them smaller."""
    return main(["sample", "magic_made", "250", str(path), "--device", "cpu"])


def refused():
    """The error of a model that each process would normalize for itself."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    try:
        fit(model, drawn(ROWS, 3), likely, steps=1, **CPU)
    except ValueError as error:
        return str(error)


def work(folder):
    """All of the above, as one of several processes."""
    steps = {name: one_step(case) for name, case in CASES.items()}
    batches = []
    found = {"steps": steps, "judged": judged(batches), "batches": batches}
    found["refused"] = refused()
    found["stopped"] = interrupted(folder / "interrupted.pt")
    found["status"] = drawn_by_command(folder / "two.npy")
    train(5, folder / "from_one.pt")
    train(3, folder / "from_two.pt")
    rank = torch.distributed.get_rank()
    torch.save(found, folder / f"found{rank}.pt")


if __name__ == "__main__":
    work(Path(sys.argv[1]))
