"""The benchmark of samplers runs on tiny networks, and is kept in full."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "wavenet.py"
KEPT = ROOT / "dgm_course/zoo/benchmarks/wavenet.json"


def check(result):
    """Three methods for each task, relative to the naive loop."""
    rows = result["rows"]
    assert len(rows) >= 6 and len(rows) % 3 == 0
    for naive, *others in zip(*[iter(rows)] * 3):
        assert naive["name"] == "naive" and naive["speedup"] == 1.0
        assert [row["name"] for row in others] == ["queue", "student"]
        clock = "cpu_ms" if naive["task"].startswith("cpu") else "wall_ms"
        for row in others:
            assert row["task"] == naive["task"]
            ratio = naive[clock] / row[clock]
            assert row["speedup"] == pytest.approx(ratio)
    assert result["different"] == 0 < result["compared"]


def test_quick_run(tmp_path):
    out = tmp_path / "wavenet.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--out", out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    check(result)
    assert result["quick"] and result["receptive_field"] == 15
    assert all(row["task"] in done.stdout for row in result["rows"])


def test_what_the_chapter_shows_was_measured_in_full():
    result = json.loads(KEPT.read_text())
    check(result)
    assert not result["quick"] and result["receptive_field"] == 2047
