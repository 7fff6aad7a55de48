"""The benchmark of samplers runs on tiny networks, and is kept in full."""

import json
from pathlib import Path

import pytest
from support.benchmarks import quick

ROOT = Path(__file__).parents[2]
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
    result = quick("wavenet", tmp_path)
    check(result)
    assert result["receptive_field"] == 15


def test_what_the_chapter_shows_was_measured_in_full():
    result = json.loads(KEPT.read_text())
    check(result)
    assert not result["quick"] and result["receptive_field"] == 2047
