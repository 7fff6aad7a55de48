"""The matrix of the assignments once more, where it counts: in sandboxes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from support import assignments as content

from dgm_course.grading import batch
from dgm_course.grading.broker import Fault, Session
from dgm_course.grading.examine import Examination
from dgm_course.grading.questions import Question, Trained
from dgm_course.grading.sandbox import Sandbox

pytestmark = pytest.mark.slow
RUNS = 50
WORKERS = 2


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def grade(sandbox, cells, questions):
    """Try a fault of the machine again, as the grader does."""
    for _ in range(batch.ATTEMPTS - 1):
        with suppress(Fault):
            return Examination(cells, partial(Session, sandbox)).grade(
                questions
            )
    return Examination(cells, partial(Session, sandbox)).grade(questions)


@content.each
def test_solution_has_full_marks_in_each_of_fifty_runs(name, sandbox):
    """Each run trains with another seed."""

    def lost(seed):
        questions = [
            replace(q, seed=seed) if isinstance(q, Trained) else q
            for q in content.QUESTIONS[name]
        ]
        outcomes = grade(sandbox, content.solution(name), questions)
        return content.lost(outcomes, questions)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = dict(enumerate(pool.map(lost, range(RUNS))))
    assert {seed: points for seed, points in found.items() if points} == {}


@content.each
def test_untouched_notebook_has_none(name, sandbox):
    cells = content.student(name)
    outcomes = grade(sandbox, cells, content.QUESTIONS[name])
    assert {o["points"] for o in outcomes.values()} == {0}


@pytest.mark.parametrize("name, question, wrong", content.WRONG)
def test_wrong_solution_loses_its_points_and_no_others(
    name, question, wrong, sandbox
):
    asked = [
        q
        for q in content.QUESTIONS[name]
        if isinstance(q, Question) or q.id == question.id
    ]
    cells = [*content.solution(name), wrong.source]
    outcomes = grade(sandbox, cells, asked)
    assert set(content.lost(outcomes, asked)) == {question.id}
