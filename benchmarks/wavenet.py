"""Time for one second of sound: naive loop, queue and student.

    python benchmarks/wavenet.py [--quick] [--threads 1] [--out results.json]

All three run in one process, in turns (see harness.py), on the CPU and, where
there is one, on a GPU. The naive loop recomputes one receptive field for each
sample. Loop and queue are timed on a few samples, the student on a whole
second, and the table is for a second. Speedups are relative to the naive loop,
by CPU time on the CPU and by wall time on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import Row, compare, print_table, write

from dgm_course.likelihoods import Categorical
from dgm_course.wavenet import Student, Teacher, WaveNet, sample, sample_naive
from dgm_course.wavenet.network import DILATIONS

OUT = Path(__file__).parents[1] / "dgm_course/zoo/benchmarks/wavenet.json"
RATE = 8000


def main() -> None:
    """Parse the command line, time all, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=45, help="per task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    limits = (2, 0.0) if args.quick else (args.rounds, args.seconds)
    cycle = DILATIONS[:3] if args.quick else DILATIONS[:10]
    rows, different, compared = [], 0, 0
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for device in devices:
        torch.manual_seed(0)
        teacher, student = build(cycle, device)
        for batch in (1, 16):
            rows += measure(teacher, student, batch, device, *limits)
        wrong, all_ = disagree(teacher, device, 5 if args.quick else 50)
        different, compared = different + wrong, compared + all_
    print(f"{args.threads} thread(s); speedup = naive / this")
    print_table(rows)
    print(f"queue and naive differ in {different} of {compared} samples")
    write(
        args.out,
        rows,
        quick=args.quick,
        receptive_field=teacher.net.receptive_field,
        different=different,
        compared=compared,
    )


def build(cycle: tuple[int, ...], device: str) -> tuple[Teacher, Student]:
    """A teacher of two cycles of dilations, and a student of one and one."""
    likelihood = Categorical(256)
    net = WaveNet(1, likelihood.outputs, dilations=cycle * 2)
    flows = [WaveNet(1, 2, dilations=cycle) for _ in range(2)]
    return Teacher(net, likelihood).to(device), Student(flows).to(device)


def measure(
    teacher: Teacher,
    student: Student,
    batch: int,
    device: str,
    rounds: int,
    seconds: float,
) -> list[Row]:
    """Time the three on one device and return them per second of sound."""
    past = heard(teacher, batch, device)
    empty = past[..., :0]
    steps = {"naive": 2, "queue": 200, "student": RATE}
    calls: dict[str, Callable[[], Any]] = {
        "naive": lambda: sample_naive(teacher, past, steps["naive"]),
        "queue": lambda: sample(teacher, empty, steps["queue"]),
        "student": lambda: student.sample(batch, steps["student"]),
    }
    parameters = {
        name: sum(p.numel() for p in model.parameters())
        for name, model in zip(calls, (teacher, teacher, student))
    }
    waiting = {
        name: lambda call=call: finished(call, device)
        for name, call in calls.items()
    }
    task = f"{device}, batch {batch}: {batch} s of sound"
    rows = compare(task, waiting, parameters, rounds, seconds)
    for row in rows:
        row.cpu_ms *= RATE / steps[row.name]
        row.wall_ms *= RATE / steps[row.name]
    clock = "cpu_ms" if device == "cpu" else "wall_ms"
    for row in rows:
        row.speedup = getattr(rows[0], clock) / getattr(row, clock)
    return rows


def heard(teacher: Teacher, batch: int, device: str) -> torch.Tensor:
    """One receptive field of noise, (batch, 1, R), to continue."""
    shape = (batch, 1, teacher.net.receptive_field)
    return torch.randint(teacher.likelihood.levels, shape, device=device)


def finished(call: Callable[[], Any], device: str) -> None:
    """Call, and wait for a GPU."""
    call()
    if device == "cuda":
        torch.cuda.synchronize()


def disagree(teacher: Teacher, device: str, steps: int) -> tuple[int, int]:
    """Count samples in which queue and naive loop differ, and all samples."""
    past, found = heard(teacher, 4, device), []
    for function in (sample, sample_naive):
        torch.manual_seed(1)
        found.append(function(teacher, past, steps))
    return int((found[0] != found[1]).sum()), found[0].numel()


if __name__ == "__main__":
    main()
