"""What `fit` costs beside a bare torch loop and a DataLoader.

    python benchmarks/training.py [--quick] [--workers 2] [--out results.json]

The same model, data, batch size and optimizer in all three; one unit of work
is a number of training steps. `fit` checks every loss, keeps a history and
can be resumed; the bare loop does nothing of it. Memory traffic, workers and
processes differ, so wall time is the number that counts here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import Row, compare, print_table, write
from torch.utils.data import DataLoader, TensorDataset

from dgm_course import data, flows
from dgm_course.dequantization import Dequantized
from dgm_course.training import fit

OUT = Path(__file__).parents[1] / "dgm_course/zoo/benchmarks/training.json"
BATCH = 128


def build() -> Dequantized:
    """A RealNVP on dequantized digits."""
    torch.manual_seed(0)
    flow = flows.realnvp(784, 6, (112, 112), preprocess=flows.Logit())
    return Dequantized(flow)


def with_fit(model, rows, steps, workers):
    """Our loop."""
    fit(model, rows, steps=steps, batch_size=BATCH, progress=False)


def bare(model, rows, steps, workers):
    """Ten lines of torch: random batches of the tensor in memory."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    order = torch.randperm(len(rows))
    for step in range(steps):
        low = step * BATCH % (len(rows) - BATCH)
        optimizer.zero_grad(set_to_none=True)
        loss = -model.elbo(rows[order[low : low + BATCH]]).mean()
        loss.backward()
        optimizer.step()


def loader(model, rows, steps, workers):
    """A DataLoader that collates single rows, with worker processes."""
    batches = DataLoader(
        TensorDataset(rows),
        BATCH,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
    )
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    done = 0
    while done < steps:
        for (batch,) in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = -model.elbo(batch).mean()
            loss.backward()
            optimizer.step()
            done += 1
            if done == steps:
                break


def measure(steps: int, rounds: int, workers: int) -> list[Row]:
    """Time the three loops in turns."""
    rows = data.mnist("train", full=False).images.flatten(1)
    runs = {
        "fit": with_fit,
        "bare loop": bare,
        "DataLoader, in process": lambda m, r, s, w: loader(m, r, s, 0),
        f"DataLoader, {workers} workers": loader,
    }
    models = {name: build() for name in runs}
    tasks = {
        name: lambda run=run, name=name: run(models[name], rows, steps, workers)
        for name, run in runs.items()
    }
    count = sum(p.numel() for p in models["fit"].parameters())
    sizes = dict.fromkeys(runs, count)
    return compare(f"{steps} steps", tasks, sizes, rounds, seconds=300)


def main() -> None:
    """Measure, print the table and the rates, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="for the tests")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    steps, rounds = (2, 2) if options.quick else (78, 9)
    rows = measure(steps, rounds, options.workers)
    print_table(rows)
    fastest = rows[0].wall_ms
    for row in rows:
        rate = 1000 * steps * BATCH / row.wall_ms
        ratio = row.wall_ms / fastest
        print(f"{row.name:<24} {rate:8.0f} images/s   {ratio:.3f} x fit")
    write(options.out, rows, batch=BATCH, steps=steps)


if __name__ == "__main__":
    main()
