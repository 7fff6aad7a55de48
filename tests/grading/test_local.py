"""Assignments are tested in this process, with the grader's own judge."""

import numpy as np
import pytest

from dgm_course.grading import local
from dgm_course.grading.questions import Question, Test

X = np.linspace(-2.0, 3.0, 6).reshape(2, 3)
SQUARE = Question(
    "t1.q1",
    "Squares",
    "square",
    tests=[
        Test("array", (X,), 2, "multiply x by itself", expected=X**2),
        Test("float32", (X.astype("f"),), 1, "", expected=(X**2).astype("f")),
        Test("number", (3,), 1, "", expected=9),
    ],
)


def points(source):
    outcome = local.grade([source], [SQUARE])["t1.q1"]
    return [mark["points"] for mark in outcome["tests"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x * x", [2, 1, 1]),
        ("x ** 3", [0, 0, 0]),
        ("x * x + 1e-6", [0, 1, 0]),  # within float32, not within float64
        ("(x * x).float() if hasattr(x, 'float') else x * x", [0, 1, 1]),
        ("x * x if hasattr(x, 'float') else float('nan')", [2, 1, 0]),
        ("(x * x)[None]", [0, 0, 0]),
        ("(x * x).sum() if hasattr(x, 'float') else [9]", [0, 0, 0]),
        ("{}", [0, 0, 0]),
        ("'9'", [0, 0, 0]),
        ("None", [0, 0, 0]),
        ("object()", [0, 0, 0]),
        ("1 / 0", [0, 0, 0]),
        ("exit()", [0, 0, 0]),
    ],
)
def test_answers_and_what_they_earn(body, expected):
    assert points(f"def square(x):\n    return {body}") == expected


def test_a_missing_function_and_a_name_that_is_none():
    assert points("pass") == [0, 0, 0]
    assert points("square = 3") == [0, 0, 0]


def test_a_cell_of_a_solution_must_not_raise():
    with pytest.raises(RuntimeError, match="cell 1 stopped with NameError"):
        local.grade(["nothing"], [SQUARE])
