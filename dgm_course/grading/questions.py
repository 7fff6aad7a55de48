"""What an assignment asks, as ``hidden.py`` states it.

``assignments/instructor/aN_name/hidden.py`` defines ``QUESTIONS``, a list of
the three kinds below in the order of the notebook. The module runs outside
the sandbox: its oracles may import all of ``dgm_course``, and nothing of it
but the arguments of a test ever reaches a student's process::

    QUESTIONS = [
        Question(
            "a3.q1", "Masks", "made_mask",
            tests=[Test("three layers", (degrees_in, degrees_out), 1,
                        "compare the degrees with >=, not with >",
                        expected=oracle(degrees_in, degrees_out))],
            wrong=[Wrong("strict", "def made_mask(a, b): ...")],
        ),
        Written("a3.w1", "Why the order matters", 3),
        Trained("a3.q4", "A MAF on moons", x_train, x_test, box=4.0,
                thresholds=[(-3.2, 1), (-2.9, 1)], wrong=[...]),
    ]

What student code sees it can hand back: never let an expected value be one of
the arguments (test an inverse on codes that the oracle made, not by a round
trip), and give each question at least three unlike inputs with fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Test:
    """One call of a student's function, and what must come back.

    Exactly one of ``expected`` and ``check`` is given.

    Attributes:
        name: Short and unique in its question; instructors read it in the
            item analysis, students in their feedback.
        arguments: Positional arguments: numpy arrays (bool, int64, float32,
            float64), numbers, strings, None, and tuples, lists and
            dictionaries of them. Arrays arrive as torch tensors.
        points: What a right answer earns.
        feedback: What a student reads after a wrong answer: the idea that is
            missing, no input and no value.
        expected: The right answer, from an oracle: arrays, numbers, tuples
            (a student may return a list), dictionaries.
        check: Maps the answer (tensors have become arrays) to None where it
            is right, else to a sentence for the student, which must quote
            neither the answer nor the inputs.
        rtol: Relative tolerance; None means the square root of the machine
            epsilon of the expected array, half of its digits: above what the
            order of operations changes, below what a wrong formula does.
        atol: Absolute tolerance; None means ``rtol`` times the largest
            finite magnitude in the expected array.
        seed: torch and numpy are seeded with it before the call.
    """

    __test__ = False  # pytest: no test class

    name: str
    arguments: tuple[Any, ...]
    points: float
    feedback: str
    expected: Any = None
    check: Callable[[Any], str | None] | None = None
    rtol: float | None = None
    atol: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.expected is None) == (self.check is None):
            raise ValueError(
                f"test {self.name!r} needs either expected= or check="
            )


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong solution, which its question must notice.

    Attributes:
        name: What it gets wrong.
        source: Python code that runs after all cells of the solution and
            redefines the student's function (or helpers of it).
    """

    name: str
    source: str


@dataclass(frozen=True)
class Question:
    """A function of arrays that the student writes.

    Attributes:
        id: ``"a1.q1"``.
        title: A few words for reports.
        function: Name of the function in the student's notebook.
        tests: The hidden calls.
        wrong: Wrong solutions that must lose points here and nowhere else.
        timeout: CPU seconds for each call; the wall clock is given more.
        arrays: Arguments arrive as torch tensors or as numpy arrays.
    """

    id: str
    title: str
    function: str
    tests: Sequence[Test]
    wrong: Sequence[Wrong] = ()
    timeout: float = 10.0
    arrays: Literal["torch", "numpy"] = "torch"

    @property
    def points(self) -> float:
        """What the question is worth."""
        return sum(test.points for test in self.tests)


@dataclass(frozen=True)
class Trained:
    """A density on the plane that the student's code trains.

    The notebook defines three functions (by the names below)::

        model = train(x_train, seed)   # float32 (N, 2); anything but None
        log_prob(model, x)             # (M, 2) -> (M,), nats
        sample(model, n)               # -> (n, 2)

    ``model`` stays in the sandbox. The density must integrate to one over
    the box, and the samples must follow it (see ``trained.py``); then each
    threshold that the mean log-likelihood of ``x_test`` reaches earns its
    points, by the density divided by its integral.

    Attributes:
        id: ``"a3.q4"``.
        title: A few words for reports.
        x_train: Training points, float32 (N, 2).
        x_test: Hidden points of the same distribution, float32 (M, 2).
        box: Practically all of the mass lies in [-box, box]^2.
        thresholds: Pairs (nats per point, points), rising.
        wrong: Wrong solutions: dishonest or weaker models.
        seconds: CPU seconds for the training.
        seed: Given to ``train``.
        train: Name of the student's function that trains.
        log_prob: Name of the student's density.
        sample: Name of the student's sampler.
    """

    id: str
    title: str
    x_train: np.ndarray
    x_test: np.ndarray
    box: float
    thresholds: Sequence[tuple[float, float]]
    wrong: Sequence[Wrong] = ()
    seconds: float = 60.0
    seed: int = 0
    train: str = "train"
    log_prob: str = "log_prob"
    sample: str = "sample"

    @property
    def points(self) -> float:
        """What the question is worth."""
        return sum(points for _, points in self.thresholds)


@dataclass(frozen=True)
class Written:
    """An answer in words, whose points a person gives.

    The answer is each Markdown cell whose ``metadata.dgm`` is the id, or
    whose cell id is the id with ``-`` for ``.``, or that has a heading with
    the words "Answer a1.w1", and the Markdown cells that follow it directly.

    Attributes:
        id: ``"a1.w1"``.
        title: A few words for reports.
        points: The most that the rubric gives.
    """

    id: str
    title: str
    points: float


AnyQuestion = Question | Trained | Written
