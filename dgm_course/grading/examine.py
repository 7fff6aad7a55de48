"""Grades the code of one submission: its cells, then each question.

The answers come from ``ask``, which is a session with a sandbox or, for fast
tests of an assignment, a worker in this process (``local.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from . import marking, trained
from .broker import Lost
from .questions import AnyQuestion, Question, Test, Trained

CELL = 60.0  # CPU seconds for one cell
CALL = 20.0  # CPU seconds for a call of a trained density
RESTARTS = 6  # of one submission while its cells run
# seconds of the clock for all that one submission does, restarts included:
# two thousand cells that sleep must not keep a class waiting
TOTAL = 600.0
OVER = "the submission has used all of its time"

Outcome = dict[str, Any]  # what a journal keeps of one question


class Session(Protocol):
    """Something that answers requests (see ``inside/worker.py``)."""

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the reply."""

    def spent(self) -> float:
        """Return how many seconds the last request took."""

    def close(self) -> None:
        """End it."""


class Examination:
    """The cells of one submission, and the session that has run them.

    A cell that ends or hangs its process is left out when the next session
    runs the others, so it costs only what it defines.

    Args:
        cells: Sources of the code cells.
        start: Starts a session.

    Attributes:
        notes: Sentences for the student on cells that failed.
    """

    def __init__(self, cells: Sequence[str], start: Callable[[], Session]):
        self.cells, self.start = list(cells), start
        self.session: Session | None = None
        self.left_out: set[int] = set()
        self.restarts = 0
        self.left = TOTAL
        self.notes: dict[int, str] = {}

    def grade(self, questions: Sequence[AnyQuestion]) -> dict[str, Outcome]:
        """Grade questions; each that is not written has an outcome.

        Raises:
            Fault: If the sandbox failed.
        """
        outcomes = {}
        try:
            for question in questions:
                if isinstance(question, Question):
                    outcomes[question.id] = self._function(question)
                elif isinstance(question, Trained):
                    outcomes[question.id] = self._trained(question)
        finally:
            self.close()
        return outcomes

    def close(self) -> None:
        """End the session, if there is one."""
        if self.session is not None:
            self.session.close()
        self.session = None

    def _ready(self) -> Session:
        """Return a session that has run all cells that can run.

        Raises:
            Lost: If too many cells ended it.
            Fault: If the sandbox failed.
        """
        while self.session is None:
            if self.restarts > RESTARTS:
                raise Lost("the notebook ended its process again and again")
            if self.left <= 0:
                raise Lost(OVER)
            self.session = self.start()
            for i, source in enumerate(self.cells):
                if i in self.left_out:
                    continue
                cell = {"source": source, "name": f"<cell {i + 1}>"}
                try:
                    reply = self._request({"do": "cell", **cell}, CELL)
                except Lost as lost:
                    self.left_out.add(i)
                    self.restarts += 1
                    self.notes[i] = f"cell {i + 1} was left out: {lost}"
                    break
                if "error" in reply:
                    self.notes[i] = _failed(i, reply)
        return self.session

    def _request(
        self, request: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Ask the session; one that is lost is closed."""
        assert self.session is not None
        try:
            if self.left <= 0:
                raise Lost(OVER)
            try:
                return self.session.ask(request, seconds)
            finally:
                self.left -= self.session.spent()
        except BaseException:
            self.close()
            raise

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Call a function of the student."""
        self._ready()
        usual = {"of": "", "keep": "", "arrays": "torch", "seed": 0}
        reply = self._request({"do": "call", **usual, **request}, seconds)
        if reply.get("missing"):
            raise _Unanswered(f"there is no function {request['function']}")
        if "error" in reply:
            name = marking.name_of(str(reply["error"]))
            raise _Unanswered(f"{request['function']} raised {name}")
        return reply

    def _function(self, question: Question) -> Outcome:
        marks, lost = [], None
        for test in question.tests:
            feedback = lost or self._test(question, test)
            if isinstance(feedback, Lost):
                lost = feedback = str(feedback)
            marks.append(_mark(test.name, test.points, feedback))
        return _outcome(marks)

    def _test(self, question: Question, test: Test) -> str | Lost | None:
        request = {
            "function": question.function,
            "arguments": list(test.arguments),
            "arrays": question.arrays,
            "seed": test.seed,
        }
        try:
            reply = self._ask(request, question.timeout)
        except _Unanswered as error:
            return str(error)
        except Lost as lost:
            return lost
        return marking.judge(test, reply.get("value"))

    def _trained(self, question: Trained) -> Outcome:
        try:
            value, feedback = self._fit(question)
        except (_Unanswered, Lost) as error:
            value, feedback = None, str(error)
        marks = []
        for nats, points in question.thresholds:
            reached = value is not None and value >= nats
            below = feedback or "the test log-likelihood is lower"
            marks.append(
                _mark(
                    f"at least {nats:g} nats a point",
                    points,
                    None if reached else below,
                )
            )
        return _outcome(marks)

    def _fit(self, question: Trained) -> tuple[float | None, str]:
        asked = trained.points(question.x_train, question.x_test, question.box)
        self._ready()
        train = {
            "function": question.train,
            "arguments": [question.x_train, question.seed],
            "seed": question.seed,
            "keep": question.id,
        }
        # the first call imports what the training needs
        if self._ask(train, question.seconds).get("value") is not True:
            return None, f"{question.train} returned no model"
        parts = [
            self._ask(
                {
                    "function": question.log_prob,
                    "arguments": [part],
                    "of": question.id,
                },
                CALL,
            ).get("value")
            for part in np.array_split(asked.points, 8)
        ]
        log_p = [p for p in parts if isinstance(p, np.ndarray) and p.ndim == 1]
        if len(log_p) < len(parts):
            return None, f"{question.log_prob} should return one number a point"
        sample = {
            "function": question.sample,
            "arguments": [trained.SAMPLES],
            "seed": question.seed,
            "of": question.id,
        }
        samples = self._ask(sample, CALL).get("value")
        together = np.concatenate(log_p)
        return trained.judge(
            asked, question.box, together, samples, question.x_train
        )


class _Unanswered(Exception):
    """A student's function is missing or raised; the process goes on."""


def _failed(i: int, reply: dict[str, Any]) -> str:
    # no hidden input has reached the process yet: the text may be shown
    text = f"{reply['error']}: {reply.get('message', '')}".strip(": ")
    return f"cell {i + 1} stopped with {text[:300]}"


def _mark(name: str, points: float, feedback: str | None) -> dict[str, Any]:
    return {
        "test": name,
        "of": points,
        "points": points if feedback is None else 0,
        "feedback": feedback or "",
    }


def _outcome(marks: list[dict[str, Any]]) -> Outcome:
    return {"points": sum(m["points"] for m in marks), "tests": marks}
