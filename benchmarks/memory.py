"""Activation memory and step time of a deep network, stored or recomputed.

    python benchmarks/memory.py [--quick] [--out results.json]

The same additive couplings, in the same numbers of channels, for all. Memory
is the most that the allocator held at once in a training step (the gradients
of the parameters exist before), not what the system gave to the process.
Times are ratios to plain autograd measured in one run; the milliseconds are
of this machine on that day. RevTorch and MemCNN take part where they are
installed; install them with ``--no-deps``, since they replace torch.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from harness import compare, write
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from dgm_course.memory import allocated
from dgm_course.reversible import ReversibleBlock, ReversibleSequence

OUT = Path(__file__).parents[1] / "dgm_course/zoo/benchmarks/memory.json"
MIB = 2**20


@dataclass
class Memory:
    """One network of one depth; CPU times in milliseconds."""

    task: str
    name: str
    peak_mib: float
    cpu_ms: float
    wall_ms: float
    rounds: int
    parameters: int
    # CPU time beside that of plain autograd, in this run
    ratio: float = float("nan")


class Value(nn.Module):
    """A block without its log-determinant."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """The first of a pair."""
        return self.block(x)[0]


def branch(channels: int) -> nn.Sequential:
    """Convolution, normalization, ReLU, convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.GroupNorm(4, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


def branches(depth: int, channels: int) -> list[tuple[nn.Module, nn.Module]]:
    """The same F and G in all alternatives."""
    torch.manual_seed(0)
    half = channels // 2
    return [(branch(half), branch(half)) for _ in range(depth)]


Built = tuple[nn.Module, Callable[[Tensor], Tensor]]


def plain(pairs) -> Built:
    """Autograd stores every activation."""
    blocks = [ReversibleBlock(f, g) for f, g in pairs]
    model = Value(ReversibleSequence(*blocks, store=True))
    return model, model


def reversible(pairs) -> Built:
    """Ours."""
    model = Value(ReversibleSequence(*[ReversibleBlock(*p) for p in pairs]))
    return model, model


def checkpoint_each(pairs) -> Built:
    """The input of each block is stored (torch.utils.checkpoint)."""
    model = nn.Sequential(*[Value(ReversibleBlock(*p)) for p in pairs])

    def run(x: Tensor) -> Tensor:
        for block in model:
            x = checkpoint(block, x, use_reentrant=False)
        return x

    return model, run


def checkpoint_sqrt(pairs) -> Built:
    """The input of each of sqrt(depth) segments is stored."""
    model = nn.Sequential(*[Value(ReversibleBlock(*p)) for p in pairs])
    segments = math.isqrt(len(pairs))

    def run(x: Tensor) -> Tensor:
        return checkpoint_sequential(model, segments, x, use_reentrant=False)

    return model, run


def revtorch(pairs) -> Built:
    """RevTorch's ReversibleSequence."""
    import revtorch as lib

    blocks = nn.ModuleList(lib.ReversibleBlock(f, g) for f, g in pairs)
    model = lib.ReversibleSequence(blocks)
    return model, model


def memcnn(pairs) -> Built:
    """MemCNN's InvertibleModuleWrapper around each coupling."""
    import memcnn as lib

    model = nn.Sequential(
        *[
            lib.InvertibleModuleWrapper(
                lib.AdditiveCoupling(Fm=f, Gm=g), keep_input=False
            )
            for f, g in pairs
        ]
    )
    return model, model


ALTERNATIVES = {
    "plain": plain,
    "checkpoint each": checkpoint_each,
    "checkpoint sqrt": checkpoint_sqrt,
    "dgm_course": reversible,
    "RevTorch": revtorch,
    "MemCNN": memcnn,
}


def training_step(model, run, x: Tensor) -> Callable[[], None]:
    """Forward and backward pass; no optimizer, which is the same for all."""
    for p in model.parameters():
        p.grad = torch.zeros_like(p)

    def step() -> None:
        # not a leaf: one of the libraries doubles the gradient of a leaf
        run(1 * x).square().mean().backward()

    return step


def measure(depth, batch, channels, side, rounds, seconds) -> list[Memory]:
    """All alternatives at one depth."""
    x = torch.randn(batch, channels, side, side, requires_grad=True)
    task = f"{depth} blocks, activations of {x.nbytes / MIB:g} MiB"
    steps, peaks, counts = {}, {}, {}
    for name, build in ALTERNATIVES.items():
        try:
            model, run = build(branches(depth, channels))
        except ImportError:
            print(f"{name} is left out: it is not installed")
            continue
        step = training_step(model, run, x)
        peaks[name] = allocated(step).peak / MIB
        steps[name] = step
        counts[name] = sum(p.numel() for p in model.parameters())
    rows = compare(task, steps, counts, rounds, seconds)
    base = next(row.cpu_ms for row in rows if row.name == "plain")
    return [
        Memory(
            task,
            row.name,
            peaks[row.name],
            row.cpu_ms,
            row.wall_ms,
            row.rounds,
            row.parameters,
            row.cpu_ms / base,
        )
        for row in rows
    ]


def print_memory(rows: list[Memory]) -> None:
    """Print the rows, one depth after the other."""
    task = None
    for row in rows:
        if row.task != task:
            task = row.task
            print(f"{task:<40}{'peak MiB':>10}{'cpu ms':>10}{'ratio':>8}")
        print(
            f"  {row.name:<38}{row.peak_mib:>10.1f}{row.cpu_ms:>10.0f}"
            f"{row.ratio:>8.2f}"
        )


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (4, 8, 8, 2, 1.0) if arguments.quick else (16, 32, 32, 5, 600.0)
    rows = []
    for depth in (2, 4) if arguments.quick else (16, 64):
        rows += measure(depth, *sizes)
    print_memory(rows)
    write(arguments.out, rows, quick=arguments.quick)


if __name__ == "__main__":
    main()
