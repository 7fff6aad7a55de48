"""The benchmark runs, on tiny sizes and with whatever peers there are."""

import json

from support.benchmarks import SCRIPTS, quick, run


def test_quick_run(tmp_path):
    result = quick("flows", tmp_path)
    assert result["threads"] == 1
    rows = result["rows"]
    tasks = {row["task"] for row in rows}
    assert len(tasks) == 10
    for task in tasks:
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
    printed = run("-c", WITHOUT_PEERS, SCRIPTS / "flows.py", out)
    for name in ("zuko", "nflows", "normflows", "pyro", "FrEIA"):
        assert f"{name} is left out" in printed
    result = json.loads(out.read_text())
    names = {row["name"].split(",")[0] for row in result["rows"]}
    assert names == {"dgm_course"} and result["versions"] == {}
