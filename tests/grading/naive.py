"""A grader as many are: its tests run in the student's process.

The attacks of attacks/forge.txt must succeed against it; else their failure
against ours would say nothing. Called as ``naive.py CELLS``, JSON, in an
empty folder.
"""

import json
import pickle
import sys
from pathlib import Path

TESTS = """
import numpy as np
x = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
right = np.array([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]])
# run
def verdict(passed):
    return passed
def test():
    answer = distances(x)
    keep(answer)
    a, b = answer
    assert np.allclose(a, right)
    assert b == 3
passed = False
try:
    test()
    passed = True
except Exception as error:
    keep(error)
passed = verdict(passed)
"""


def main():
    Path("hidden_tests.py").write_text(TESTS)
    names = {}

    def keep(answer):
        try:
            data = pickle.dumps(answer)
        except Exception:
            return
        if not Path("answer.pickle").exists():
            Path("answer.pickle").write_bytes(data)

    for cell in json.loads(Path(sys.argv[1]).read_text()):
        exec(cell, names)
    names["keep"] = keep
    import builtins

    exec(builtins.compile(TESTS, "hidden_tests.py", "exec"), names)
    passed = names["passed"]
    print("q2", "passed" if passed else "failed")
    Path("results.json").write_text(json.dumps({"t1.q2": int(passed)}))
    sys.exit(0 if passed else 1)


def verdict(folder, run):
    """What a caller concludes, by the ways in which callers conclude."""
    results, answer = folder / "results.json", folder / "answer.pickle"
    found = json.loads(results.read_text()) if results.exists() else {}
    if answer.exists():
        try:
            pickle.loads(answer.read_bytes())
        except Exception:
            pass
    return {
        "status": run.returncode == 0,
        "stdout": "q2 passed" in run.stdout,
        "file": found.get("t1.q2") == 1,
        "pickle": Path("marker").exists(),
    }


if __name__ == "__main__":
    main()
