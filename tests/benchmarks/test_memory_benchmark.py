"""The benchmark of memory runs, on tiny sizes and with whatever peers exist."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def test_quick_run(tmp_path):
    out = tmp_path / "memory.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["quick"] and result["threads"] == 1
    peaks = {}
    for row in result["rows"]:
        assert row["task"] in done.stdout
        assert row["cpu_ms"] > 0 and row["peak_mib"] > 0
        peaks.setdefault(row["name"], []).append(row["peak_mib"])
    assert {"plain", "checkpoint each", "dgm_course"} <= set(peaks)
    # 2 blocks and 4, in MiB: plain autograd stores the inputs of both
    # convolutions and of the normalization, for either half of a block
    half = 4 * 4 * 8 * 8 * 4 / 2**20
    shallow, deep = peaks["plain"]
    assert deep - shallow >= 2 * 6 * half
    shallow, deep = peaks["dgm_course"]
    assert deep - shallow < half
    assert len({(r["task"], r["parameters"]) for r in result["rows"]}) == 2
