"""The assignments themselves: what they ask, and what their tests notice."""

import json
import re

import numpy as np
import pytest
from support.assignments import (
    ALL,
    FOLDERS,
    QUESTIONS,
    ROOT,
    WRONG,
    each,
    hidden,
    lost,
    public,
    solution,
    student,
)

from dgm_course.grading import build
from dgm_course.grading.local import grade
from dgm_course.grading.questions import Question, Trained, Written


@each
def test_thirteen_points_and_what_they_are_for(name):
    questions = QUESTIONS[name]
    assert sum(q.points for q in questions) == pytest.approx(13)
    written = [q for q in questions if isinstance(q, Written)]
    assert 3 <= sum(q.points for q in written) <= 5
    assert sum(isinstance(q, Trained) for q in questions) == 1
    assert isinstance(questions[-1], Trained)


@each
def test_questions_have_unlike_inputs_and_wrong_solutions(name):
    for q in QUESTIONS[name]:
        if isinstance(q, Written):
            continue
        assert len(q.wrong) >= 3
        assert len({w.name for w in q.wrong}) == len(q.wrong)
        if isinstance(q, Question):
            shapes = {
                tuple(np.shape(a) for a in flat(t.arguments)) for t in q.tests
            }
            assert len(shapes) >= 3 or q.id == "a1.q1", q.id
            assert len({t.name for t in q.tests}) == len(q.tests)


def flat(value):
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


@each
def test_no_argument_is_the_answer(name):
    """Nor that of another test, for which code may keep what it saw."""
    tests = [t for q in QUESTIONS[name] for t in getattr(q, "tests", [])]
    seen = [a for t in tests for a in flat(t.arguments) if np.ndim(a)]
    for answer in (a for t in tests for a in flat(t.expected) if np.ndim(a)):
        for argument in seen:
            same = np.shape(argument) == np.shape(answer)
            assert not (same and np.allclose(argument, answer, rtol=1e-3))


@each
def test_public_and_hidden_agree(name):
    parts = public(name).PARTS
    assert [(p.id, p.points) for p in parts] == [
        (q.id, pytest.approx(q.points)) for q in QUESTIONS[name]
    ]
    for part, q in zip(parts, QUESTIONS[name]):
        if isinstance(q, Question):
            assert part.functions == (q.function,)
        elif isinstance(q, Trained):
            assert part.functions == (q.train, q.log_prob, q.sample)
            levels = tuple(level for level, _ in q.thresholds)
            assert public(name).LEVELS == levels
            assert public(name).BOX == q.box


@each
def test_notebook_and_rubric_say_the_points(name):
    notebook = ROOT / "assignments" / f"{FOLDERS[name].name}.ipynb"
    cells = json.loads(notebook.read_text())["cells"]
    text = "\n".join("".join(c["source"]) for c in cells)
    rubric = (FOLDERS[name] / "rubric.md").read_text()
    for q in QUESTIONS[name]:
        points = f"{q.points:g} point" + "s" * (q.points != 1)
        assert f"| {q.id} | {q.points:g} |" in text
        assert f"**{q.id}** ({points})" in text
        if isinstance(q, Written):
            assert re.search(rf"^### Answer {re.escape(q.id)}$", text, re.M)
            part = re.split(rf"^## {re.escape(q.id)} ", rubric, flags=re.M)[1]
            head, _, body = part.partition("\n")
            assert f"({points})" in head
            given = re.findall(r"^\| ([\d.]+) \|", body.split("\n## ")[0], re.M)
            assert sum(map(float, given)) == pytest.approx(q.points)


@each
def test_hidden_tests_are_the_same_each_time(name):
    for one, two in zip(QUESTIONS[name], hidden(name)):
        for a, b in zip(getattr(one, "tests", []), getattr(two, "tests", [])):
            for x, y in zip(flat(a.arguments), flat(b.arguments)):
                np.testing.assert_array_equal(x, y)
        if isinstance(one, Trained):
            assert np.array_equal(one.x_train, two.x_train)
            assert np.array_equal(one.x_test, two.x_test)
            assert one.thresholds == two.thresholds


@each
def test_student_notebooks_are_what_the_sources_make(name, tmp_path):
    path = ROOT / "assignments" / f"{FOLDERS[name].name}.ipynb"
    before = path.read_bytes()
    try:
        build.build(ROOT, [name])
        assert path.read_bytes() == before, "run `dgm assignment build`"
    finally:
        path.write_bytes(before)


@each
def test_solution_has_full_marks(name):
    assert lost(grade(solution(name), QUESTIONS[name]), QUESTIONS[name]) == {}


@each
def test_untouched_notebook_has_none(name):
    outcomes = grade(student(name), QUESTIONS[name])
    assert {o["points"] for o in outcomes.values()} == {0}


@pytest.mark.parametrize("name, question, wrong", WRONG)
def test_wrong_solution_loses_its_points_and_no_others(name, question, wrong):
    """A trained model is graded for its own wrong solutions only; the slow
    test below grades everything.
    """
    asked = [
        q
        for q in QUESTIONS[name]
        if isinstance(q, Question) or q.id == question.id
    ]
    outcomes = grade([*solution(name), wrong.source], asked)
    assert set(lost(outcomes, asked)) == {question.id}


@pytest.mark.slow
@pytest.mark.parametrize("name, question, wrong", WRONG)
def test_wrong_solution_in_full(name, question, wrong):
    outcomes = grade([*solution(name), wrong.source], QUESTIONS[name])
    assert set(lost(outcomes, QUESTIONS[name])) == {question.id}


@pytest.mark.parametrize(
    "name, question",
    [
        pytest.param(name, q, id=q.id)
        for name, q in ALL
        if isinstance(q, Question)
    ],
)
def test_every_hidden_test_notices_a_wrong_solution(name, question):
    failed = set()
    for wrong in question.wrong:
        outcomes = grade([*solution(name), wrong.source], [question])
        failed |= {
            t["test"]
            for t in outcomes[question.id]["tests"]
            if t["points"] < t["of"]
        }
    assert failed == {test.name for test in question.tests}


@each
def test_the_worst_gaussian_is_no_point(name):
    """The first level of a trained model is above a fitted Gaussian."""
    import torch

    trained = QUESTIONS[name][-1]
    x, y = torch.tensor(trained.x_train), torch.tensor(trained.x_test)
    gaussian = torch.distributions.MultivariateNormal(y.mean(0), torch.cov(y.T))
    level = gaussian.log_prob(y).mean().item()
    assert x.shape[1] == 2 and level < trained.thresholds[0][0]
