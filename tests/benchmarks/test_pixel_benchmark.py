"""The benchmark of sampling pictures runs, and is kept in full."""

import json
from pathlib import Path

import pytest
from support.benchmarks import quick

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "dgm_course/zoo/benchmarks/pixel.json"


def check(result):
    """Two methods for each of six tasks, and the same pictures."""
    rows = result["rows"]
    assert len(rows) == 12
    for naive, memory in zip(rows[::2], rows[1::2]):
        assert (naive["name"], memory["name"]) == ("naive", "memory")
        assert memory["task"] == naive["task"] and naive["speedup"] == 1.0
        ratio = naive["cpu_ms"] / memory["cpu_ms"]
        assert memory["speedup"] == pytest.approx(ratio)
    assert result["different"] == 0 < result["compared"]


def test_quick_run(tmp_path):
    result = quick("pixel", tmp_path)
    check(result)
    assert result["side"] == 8


def test_what_the_chapter_shows_was_measured_in_full():
    result = json.loads(KEPT.read_text())
    check(result)
    assert (result["side"], result["channels"]) == (28, 64)
    least = {"batch 1": 6, "batch 16": 40}
    for row in result["rows"]:
        model, batch = row["task"].split(", ")
        if row["name"] == "memory" and model == "Gated PixelCNN":
            assert row["speedup"] > least[batch]
