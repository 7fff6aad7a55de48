"""Finds an assignment and reads its questions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .questions import AnyQuestion, Question, Trained, Written

FOLDER = Path(__file__).parents[2] / "assignments" / "instructor"


@dataclass(frozen=True)
class Assignment:
    """The questions of an assignment.

    Attributes:
        name: ``"a1"``.
        folder: Where its ``hidden.py`` and ``rubric.md`` lie.
        questions: In the order of the notebook.
    """

    name: str
    folder: Path
    questions: Sequence[AnyQuestion]

    @property
    def points(self) -> float:
        """What everything right earns."""
        return sum(question.points for question in self.questions)

    @property
    def graded(self) -> list[Question | Trained]:
        """The questions that need no person."""
        return [q for q in self.questions if not isinstance(q, Written)]

    @property
    def written(self) -> list[Written]:
        """The questions that need a person."""
        return [q for q in self.questions if isinstance(q, Written)]

    def digest(self, question: AnyQuestion) -> str:
        """Return a hash of all that decides the outcome of one question.

        A function in a test may call others of ``hidden.py``: then the whole
        file counts.
        """
        content = hashlib.sha256(_VERSION.encode())
        _update(content, question)
        if isinstance(question, Question) and any(
            test.check for test in question.tests
        ):
            content.update((self.folder / "hidden.py").read_bytes())
        return content.hexdigest()


_VERSION = "1"  # another one grades everything anew


def _update(content: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        content.update(f"{value.dtype}{value.shape}".encode())
        content.update(value.tobytes())
    elif is_dataclass(value):
        for f in fields(value):
            if f.name != "wrong":  # decides no score
                content.update(f.name.encode())
                _update(content, getattr(value, f.name))
    elif isinstance(value, tuple | list | dict):
        content.update(f"{type(value).__name__}{len(value)}".encode())
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            content.update(json.dumps(key).encode())
            _update(content, inner)
    elif not callable(value):
        content.update(repr(value).encode())


def load(name: str, folder: Path | None = None) -> Assignment:
    """Read an assignment.

    Args:
        name: ``"a1"``, or the name of its folder.
        folder: Holds the assignments' folders; None means this repository's.

    Raises:
        ValueError: If there is none of this name, or its questions are not
            as they should be.
    """
    root = FOLDER if folder is None else folder
    known = {path.parent.name: path.parent for path in root.glob("*/hidden.py")}
    found = [
        path for key, path in known.items() if name in (key, key.split("_")[0])
    ]
    if len(found) != 1:
        raise ValueError(
            f"{name!r} is no assignment in {root}; there are: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    short = found[0].name.split("_")[0]
    module = _import(found[0] / "hidden.py")
    questions = getattr(module, "QUESTIONS", None)
    if not questions:
        raise ValueError(f"{found[0] / 'hidden.py'} defines no QUESTIONS")
    ids = [question.id for question in questions]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{found[0]}: two questions of one id in {ids}")
    return Assignment(short, found[0], list(questions))


def _import(path: Path) -> Any:
    # not under its folder's name, which a module of the course may have
    name = f"_hidden_{path.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
