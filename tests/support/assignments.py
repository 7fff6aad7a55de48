"""The assignments' questions, solutions and wrong solutions."""

import importlib
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dgm_course.grading import build
from dgm_course.grading.questions import Written

ROOT = Path(__file__).parents[2]
INSTRUCTOR = ROOT / build.INSTRUCTOR
if not INSTRUCTOR.is_dir():
    pytest.skip("the public tree has no solutions", allow_module_level=True)
FOLDERS = build.sources(ROOT)


def hidden(name):
    """Import the hidden tests of an assignment anew."""
    path = FOLDERS[name] / "hidden.py"
    spec = importlib.util.spec_from_file_location(f"hidden_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QUESTIONS


QUESTIONS = {name: hidden(name) for name in FOLDERS}
ALL = [(name, q) for name, questions in QUESTIONS.items() for q in questions]
WRONG = [
    pytest.param(name, q, wrong, id=f"{q.id} {wrong.name}")
    for name, q in ALL
    if not isinstance(q, Written)
    for wrong in q.wrong
]
each = pytest.mark.parametrize("name", FOLDERS)


def public(name):
    path = f"dgm_course.grading.public.{name}"
    return importlib.import_module(path)


def code(path, demonstrations=False):
    """Sources of the code cells; without those that only show something."""
    cells = json.loads(path.read_text())["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    shows = re.compile(r"check[.(]|%pip|^model = ", re.M)
    return [s for s in sources if demonstrations or not shows.search(s)]


def solution(name):
    return code(FOLDERS[name] / "source.ipynb")


def student(name):
    return code(ROOT / "assignments" / f"{FOLDERS[name].name}.ipynb")


def lost(outcomes, questions):
    """Points lost, question by question."""
    return {
        q.id: q.points - outcomes[q.id]["points"]
        for q in questions
        if q.id in outcomes
        and not np.isclose(outcomes[q.id]["points"], q.points)
    }
