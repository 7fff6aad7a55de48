"""What repeats: the same promises, many more times (`make test-all`)."""

import os
import random
import subprocess
import sys

import pytest
import torch
from support.runs import model, noisy_loss, points, weights

from dgm_course.training import fit

RUN = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from support.runs import model, noisy_loss, points
from dgm_course import training
clock = iter(range(0, 10**9, 61))  # a checkpoint after each step
training.time.monotonic = lambda: next(clock)
module = model()
print("ready", flush=True)
training.fit(module, points(), noisy_loss, steps=400, batch_size=16,
             device="cpu", checkpoint=sys.argv[1], resume=True,
             progress=False)
torch.save(module.state_dict(), sys.argv[1] + ".done")
"""


@pytest.mark.slow
def test_killed_at_random_times_still_equals_one_run(tmp_path):
    """kill -9 wherever it hits, also in the middle of a write; 20 times."""
    script, path = tmp_path / "run.py", tmp_path / "run.pt"
    script.write_text(RUN)
    folder = os.path.dirname(__file__)
    command = [sys.executable, str(script), str(path), folder]
    clock = random.Random(0)
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        try:
            process.wait(clock.uniform(0.0, 0.8))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run(command, check=True, timeout=300)
    whole = model()
    fit(
        whole,
        points(),
        noisy_loss,
        steps=400,
        batch_size=16,
        device="cpu",
        progress=False,
    )
    found = torch.load(f"{path}.done")
    for key, value in weights(whole).items():
        assert torch.equal(found[key], value)
