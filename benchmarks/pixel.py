"""Time for a picture: the naive loop, and a memory of what was computed.

    python benchmarks/pixel.py [--quick] [--threads 1] [--out results.json]

Both run in one process, in turns (see harness.py), on networks of 64 channels
and 8 blocks and pictures of 28 x 28. The naive loop evaluates the whole
network for each pixel, as most public code does; it is timed on two pixels,
the memory on a whole picture, and the table is for a picture. Speedups are by
CPU time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from harness import Row, compare, print_table, write
from torch import nn

from dgm_course.likelihoods import Categorical, ColourLogistics, Likelihood
from dgm_course.pixel import (
    GatedPixelCNN,
    PixelCNN,
    PixelCNNPP,
    PixelModel,
)

OUT = Path(__file__).parents[1] / "dgm_course/zoo/benchmarks/pixel.json"
STEPS = 2


def main() -> None:
    """Parse the command line, time all, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="per task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    limits = (2, 0.0) if args.quick else (args.rounds, args.seconds)
    side, channels = (8, 8) if args.quick else (28, 64)
    rows: list[Row] = []
    different = compared = 0
    for name, model in build(side, channels).items():
        for batch in (1, 16):
            rows += measure(f"{name}, batch {batch}", model, batch, *limits)
    for model in build(8, 8).values():
        wrong, pixels = disagree(model)
        different, compared = different + wrong, compared + pixels
    print(f"{args.threads} thread(s); speedup = naive / memory")
    print_table(rows)
    print(f"memory and naive differ in {different} of {compared} pixels")
    write(
        args.out,
        rows,
        quick=args.quick,
        side=side,
        channels=channels,
        different=different,
        compared=compared,
    )


def build(side: int, channels: int) -> dict[str, PixelModel]:
    """The convolutional models, with equally many channels."""
    blocks = 8 if channels == 64 else 2

    def model(
        net: Callable[..., nn.Module], likelihood: Likelihood
    ) -> PixelModel:
        torch.manual_seed(0)
        outputs = likelihood.width(1)
        return PixelModel(net(1, outputs), likelihood, (1, side, side)).eval()

    sizes = {"hidden": channels, "blocks": blocks}
    return {
        "PixelCNN": model(partial(PixelCNN, **sizes), Categorical()),
        "Gated PixelCNN": model(partial(GatedPixelCNN, **sizes), Categorical()),
        # 8 blocks down, over three resolutions, would be 9
        "PixelCNN++": model(
            partial(PixelCNNPP, channels=channels, blocks=max(blocks // 3, 1)),
            ColourLogistics(1),
        ),
    }


@torch.no_grad()
def two_pixels(model: PixelModel, y: torch.Tensor) -> None:
    """What the naive loop does, for some pixels."""
    for j in range(STEPS):
        found = model.conditionals(y)[:, :, 5:6, j : j + 1]
        y[:, :, 5, j] = model.scaled(model.likelihood.sample(found))[..., 0, 0]


def measure(
    task: str, model: PixelModel, batch: int, rounds: int, seconds: float
) -> list[Row]:
    """Time both and return them per batch of pictures."""
    y = torch.zeros(batch, *model.shape)
    calls = {
        "naive": lambda: two_pixels(model, y),
        "memory": lambda: model.sample(batch),
    }
    size = sum(p.numel() for p in model.parameters())
    rows = compare(task, calls, dict.fromkeys(calls, size), rounds, seconds)
    naive, memory = rows
    pixels = model.evaluations_per_sample
    naive.cpu_ms *= pixels / STEPS
    naive.wall_ms *= pixels / STEPS
    naive.speedup, memory.speedup = 1.0, naive.cpu_ms / memory.cpu_ms
    return rows


def disagree(model: PixelModel) -> tuple[int, int]:
    """Count pixels in which both differ, and all pixels, in float64."""
    found = []
    model = model.double()
    for cached in (True, False):
        torch.manual_seed(1)
        found.append(model.sample(8, cached=cached))
    return int((found[0] != found[1]).sum()), found[0].numel()


if __name__ == "__main__":
    main()
