"""The attack corpus, and the notebook that each attack is added to."""

import re
from dataclasses import replace
from pathlib import Path

from dgm_course.grading import assignments
from dgm_course.grading.questions import Question, Test

HERE = Path(__file__).parent
SMALL = assignments.load("t1", HERE / "assignments")
SOLUTION = [
    "import numpy as np\ndef sum_of_squares(x):\n    return (x**2).sum(0)",
    "def distances(x):\n"
    "    d = x[:, None] - x[None]\n"
    "    return (d**2).sum(-1) ** 0.5, len(x)",
    "def order_statistics(n):\n    return np.sort(np.random.rand(n))",
]
# question 2 is wrong: an attack has something to gain
HONEST = [SOLUTION[0], "def distances(x):\n    return 0, 0", SOLUTION[2]]
SCORES = {"t1.q1": 2, "t1.q2": 0, "t1.q3": 1}
# seconds that are enough for honest answers, and not long to wait for
QUESTIONS = [replace(q, timeout=0.5) for q in SMALL.graded]


def attacks(name):
    """Titles and sources of the attacks in a file of attacks/."""
    text = (HERE / "attacks" / f"{name}.txt").read_text()
    parts = re.split(r"^# %% (.+)\n", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def probe(world, name="probe"):
    """A question that is answered when an attack reached its aim."""
    return Question(
        f"t1.{name}",
        "probe",
        name,
        tests=[Test(name, (world,), 1, "", check=_is_true)],
        arrays="numpy",
        timeout=20,
    )


def _is_true(answer):
    return None if answer is True else "not reached"


def points(outcomes):
    return {key: outcome["points"] for key, outcome in outcomes.items()}
