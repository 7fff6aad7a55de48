"""The benchmark runs, on tiny sizes and with whatever peers there are."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "flows.py"


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quick_run(tmp_path):
    out = tmp_path / "made" / "flows.json"
    printed = run(SCRIPT, "--quick", "--out", out)
    result = json.loads(out.read_text())
    assert result["quick"] and result["threads"] == 1
    rows = result["rows"]
    tasks = {row["task"] for row in rows}
    assert len(tasks) == 10
    for task in tasks:
        assert task in printed
        same = {row["name"]: row for row in rows if row["task"] == task}
        assert "dgm_course" in same
        for row in same.values():
            assert row["cpu_ms"] >= 0 and row["wall_ms"] > 0
            assert row["roundtrip"] < 1e-4
        if "MAF" in task or "MADE" in task:
            assert len({row["parameters"] for row in same.values()}) == 1


WITHOUT_PEERS = """
import runpy, sys
from pathlib import Path
script, out = sys.argv[1:]
sys.path.insert(0, str(Path(script).parent))
for name in ("zuko", "nflows", "normflows", "pyro", "FrEIA"):
    sys.modules[name] = None  # import raises ImportError
sys.argv = ["flows.py", "--quick", "--out", out]
runpy.run_path(script, run_name="__main__")
"""


def test_missing_peers_are_named(tmp_path):
    out = tmp_path / "flows.json"
    printed = run("-c", WITHOUT_PEERS, SCRIPT, out)
    for name in ("zuko", "nflows", "normflows", "pyro", "FrEIA"):
        assert f"{name} is left out" in printed
    result = json.loads(out.read_text())
    names = {row["name"].split(",")[0] for row in result["rows"]}
    assert names == {"dgm_course"} and result["versions"] == {}
