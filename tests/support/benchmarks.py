"""Runs of the scripts in benchmarks/."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


def run(*arguments):
    """Return what Python printed, given these arguments."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def quick(name, folder):
    """Return the result of a benchmark on its tiny sizes, all of it printed."""
    out = folder / "made" / f"{name}.json"
    printed = run(SCRIPTS / f"{name}.py", "--quick", "--out", out)
    result = json.loads(out.read_text())
    assert result["quick"]
    assert all(row["task"] in printed for row in result["rows"])
    return result
