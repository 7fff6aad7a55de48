"""Density, training, sampling and inversion of flows, beside other libraries.

    python benchmarks/flows.py [--quick] [--threads 1] [--out results.json]

All libraries run the same models on the same inputs in one process, in turns
(see harness.py); one that is not installed is left out. With more than one
thread, CPU time counts them all.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import torch
from harness import Row, add_speedups, compare, print_table, write
from peers import PEERS
from torch import nn

from dgm_course.flows import maf, realnvp

OUT = Path(__file__).parents[1] / "dgm_course/zoo/benchmarks/flows.json"


class Ours:
    """This library; the same calls as in peers.py."""

    name = "dgm_course"

    def maf(self, dim, layers, hidden):
        return self._start(maf(dim, layers, hidden))

    def coupling(self, dim, layers, hidden):
        return self._start(realnvp(dim, layers, hidden))

    def _start(self, model):
        # ours start as the identity, which would be a gift to the Jacobi
        # iteration; the others start like this
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        return model

    def log_prob(self, model, x):
        return model.log_prob(x)

    def sample(self, model, n):
        return model.sample(n)

    def encode(self, model, x):
        return model.flow(x)[0]

    def decode(self, model, z):
        return model.flow.inverse(z)[0]


class Jacobi(Ours):
    """All variables at once, at random weights: trained ones need more."""

    name = "dgm_course, Jacobi"

    def decode(self, model, z):
        return model.flow.flows[0].inverse_jacobi(z)[0]


class Textbook(Ours):
    """One pass of the network per variable."""

    name = "dgm_course, textbook"

    def decode(self, model, z):
        return model.flow.flows[0].inverse_textbook(z)[0]


def main() -> None:
    """Parse the command line, run all tasks, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60, help="per task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    libraries, versions = installed()
    limits = (2, 0.0) if args.quick else (args.rounds, args.seconds)
    rows = run(libraries, *limits, args.quick)
    add_speedups(rows, Ours.name)
    print(f"{args.threads} thread(s); speedup = fastest peer / this library")
    print_table(rows)
    write(args.out, rows, quick=args.quick, versions=versions)


def installed() -> tuple[list, dict[str, str]]:
    """Return this library and the peers that can be imported."""
    libraries, versions = [Ours()], {}
    for peer in PEERS:
        try:
            libraries.append(peer())
            versions[peer.name] = version(
                "pyro-ppl" if peer.name == "pyro" else peer.name
            )
        except ImportError as error:
            print(f"{peer.name} is left out: {error}")
    return libraries, versions


def run(libraries, rounds: int, seconds: float, quick: bool) -> list[Row]:
    """Time every task of the benchmark."""
    rows: list[Row] = []
    dim, n = (5, 16) if quick else (63, 1024)
    made = (8, 8) if quick else (512, 512)
    net = (8, 8) if quick else (256, 256)
    data = torch.randn(n, dim)
    for title, kind, layers, hidden in (
        (f"MAF, 5 x {made}, D = {dim}, B = {n}", "maf", 5, made),
        (f"RealNVP, 8 x {net}, D = {dim}, B = {n}", "coupling", 8, net),
    ):
        models = build(libraries, kind, dim, layers, hidden)
        for task, make in (
            ("density", density),
            ("training step", training_step),
            ("sampling", sampling),
            ("data to noise (sampling, if inverted)", encoding),
        ):
            rows += measure(
                f"{title}: {task}", models, make, data, rounds, seconds
            )
    extra = [Jacobi(), Textbook()]
    for dim in (5, 16) if quick else (16, 64, 256, 784):
        models = build([*libraries, *extra], "maf", dim, 1, made)
        noise = torch.randn(min(n, 64), dim)
        task = f"inverse of one MADE {made}, D = {dim}, B = {len(noise)}"
        rows += measure(task, models, decoding, noise, rounds, seconds)
    return rows


def build(libraries, kind: str, dim: int, layers: int, hidden) -> list:
    """Return (library, model) pairs for the libraries that have the model."""
    able = [lib for lib in libraries if hasattr(lib, kind)]
    pairs = [(lib, getattr(lib, kind)(dim, layers, hidden)) for lib in able]
    return [(lib, model) for lib, model in pairs if model is not None]


def measure(task, models, make, inputs, rounds, seconds) -> list[Row]:
    """Time one task and add the error of a round trip to each row."""
    calls = {lib.name: make(lib, model, inputs) for lib, model in models}
    counts = {
        lib.name: sum(p.numel() for p in model.parameters())
        for lib, model in models
    }
    rows = compare(task, calls, counts, rounds, seconds)
    some = inputs[:64]
    with torch.no_grad():
        for row, (lib, model) in zip(rows, models):
            back = lib.decode(model, lib.encode(model, some))
            row.roundtrip = (back - some).abs().max().item()
    return rows


def density(lib, model, x):
    """Log-density without gradients."""
    return torch.no_grad()(lambda: lib.log_prob(model, x))


def training_step(lib, model, x):
    """One step of Adam on the mean negative log-likelihood."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step():
        optimizer.zero_grad()
        (-lib.log_prob(model, x).mean()).backward()
        optimizer.step()

    return step


def sampling(lib, model, x):
    """As many samples as x has."""
    return torch.no_grad()(lambda: lib.sample(model, len(x)))


def encoding(lib, model, x):
    """The direction in which an inverse autoregressive flow samples."""
    return torch.no_grad()(lambda: lib.encode(model, x))


def decoding(lib, model, z):
    """Noise to data."""
    return torch.no_grad()(lambda: lib.decode(model, z))


if __name__ == "__main__":
    main()
