"""The benchmark of memory runs, on tiny sizes and with whatever peers exist."""

from support.benchmarks import quick


def test_quick_run(tmp_path):
    result = quick("memory", tmp_path)
    assert result["threads"] == 1
    peaks = {}
    for row in result["rows"]:
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
