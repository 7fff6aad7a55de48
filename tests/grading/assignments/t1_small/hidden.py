"""A small assignment, for tests of the grader: no torch, and all kinds."""

import numpy as np

from dgm_course.grading.questions import (
    Question,
    Test,
    Trained,
    Written,
    Wrong,
)

generator = np.random.default_rng(20261121)
A, B = generator.normal(size=(4, 3)), generator.normal(size=(5, 2))
C = generator.normal(size=7)
CORNERS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])


def _is_sorted(answer):
    if not isinstance(answer, np.ndarray) or answer.shape != (50,):
        return "return an array of 50 numbers"
    if not (np.diff(answer) >= 0).all():
        return "sort the numbers, smallest first"
    return None if 0 <= answer[0] and answer[-1] <= 1 else "draw from [0, 1]"


def _points(seed, n):
    """A correlated Gaussian."""
    x = np.random.default_rng(seed).normal(size=(n, 2))
    return (x @ np.array([[1.0, 0.8], [0.0, 0.6]])).astype(np.float32)


QUESTIONS = [
    Question(
        "t1.q1",
        "Sums of squares",
        "sum_of_squares",
        tests=[
            Test("4 x 3", (A,), 1, "sum over rows", expected=(A**2).sum(0)),
            Test("5 x 2", (B,), 1, "sum over rows", expected=(B**2).sum(0)),
        ],
        wrong=[
            Wrong("axis", "def sum_of_squares(x): return (x**2).sum(1)"),
            Wrong("no square", "def sum_of_squares(x): return x.sum(0)"),
            Wrong("mean", "def sum_of_squares(x): return (x**2).mean(0)"),
        ],
        arrays="numpy",
        timeout=3,
    ),
    Question(
        "t1.q2",
        "Distances",
        "distances",
        tests=[
            Test(
                "triangle",
                (CORNERS,),
                1,
                "the root is missing",
                expected=(np.array([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]]), 3),
            ),
        ],
        wrong=[
            Wrong(
                "no root",
                "def distances(x):\n"
                "    d = x[:, None] - x[None]\n"
                "    return (d**2).sum(-1), len(x)",
            ),
            Wrong("one part", "def distances(x): return 0 * x @ x.T"),
            Wrong(
                "count",
                "right = distances\n"
                "def distances(x): return right(x)[0], len(x) + 1",
            ),
        ],
        arrays="numpy",
        timeout=3,
    ),
    Question(
        "t1.q3",
        "Sorted uniform numbers",
        "order_statistics",
        tests=[Test("50 draws", (50,), 1, "", check=_is_sorted, seed=3)],
        wrong=[
            Wrong(
                "unsorted",
                "import numpy as np\n"
                "def order_statistics(n): return np.random.rand(n)",
            ),
            Wrong(
                "normal",
                "import numpy as np\n"
                "def order_statistics(n): "
                "return np.sort(np.random.randn(n))",
            ),
            Wrong("list", "def order_statistics(n): return [0.5] * n"),
        ],
        arrays="numpy",
        timeout=3,
    ),
    Written("t1.w1", "Why squares", 2),
]
DENSITY = Trained(
    "t1.q4",
    "A Gaussian",
    _points(1, 2000),
    _points(2, 2000),
    box=7.0,
    # its entropy is 2.33 nats; independent columns lose 0.51
    thresholds=[(-2.9, 1), (-2.4, 1)],
    seconds=20,
)
