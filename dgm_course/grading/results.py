"""Puts together what each student earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .assignments import Assignment
from .collect import Submission
from .examine import Outcome
from .journal import Journal
from .policy import Policy
from .roster import Student
from .written import missing

Written = Mapping[tuple[str, str], tuple[float | None, str]]


@dataclass
class Result:
    """The work of one student.

    Attributes:
        student: Whose.
        status: "graded"; "written part open"; "nothing handed in";
            "refused"; "not graded" after a fault of ours.
        why: A sentence on it, for the instructor.
        outcomes: Question id -> outcome of the code questions.
        written: Question id -> points of a person, None while there are none.
        notes: On cells that failed.
        submitted: When.
        days_late: Days that had begun.
        lost: Share of the points that lateness costs.
        code: Hash of the code, "" without any.
    """

    student: Student
    status: str
    why: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    written: dict[str, float | None] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    submitted: datetime | None = None
    days_late: int = 0
    lost: float = 0.0
    code: str = ""

    def points(self, question: str) -> float | None:
        """Return the points of a question, None where they are not known."""
        if question in self.outcomes:
            return self.outcomes[question]["points"]
        return self.written.get(question)

    @property
    def total(self) -> float | None:
        """What is earned so far, or None where we could not grade."""
        if self.status == "not graded":
            return None
        earned = sum(o["points"] for o in self.outcomes.values())
        earned += sum(p for p in self.written.values() if p is not None)
        return round(earned * (1 - self.lost), 2)


def gather(
    students: Sequence[Student],
    chosen: Mapping[str, Submission],
    assignment: Assignment,
    journal: Journal,
    faults: Mapping[str, str],
    entered: Written,
    policy: Policy | None,
) -> list[Result]:
    """Make one result for each student, in the order of the class list."""
    digests = {q.id: assignment.digest(q) for q in assignment.graded}
    results = []
    for student in students:
        submission = chosen.get(student.id)
        if submission is None:
            results.append(Result(student, "nothing handed in"))
            continue
        result = Result(student, "refused", submission.problem)
        results.append(result)
        result.submitted = student.submitted or submission.time
        if policy:
            result.days_late = policy.days_late(result.submitted)
            result.lost = policy.share_lost(result.submitted)
        if submission.notebook is None:
            continue
        result.code = code = submission.notebook.digest()
        found = {k: journal.outcomes.get((code, d)) for k, d in digests.items()}
        if any(outcome is None for outcome in found.values()):
            result.status = "not graded"
            result.why = faults.get(code, "the run stopped before it")
            continue
        result.outcomes = {k: o for k, o in found.items() if o is not None}
        result.notes = journal.notes.get(code, [])
        for question in assignment.written:
            key = (student.id, question.id)
            points, comment = entered.get(key, (None, ""))
            result.written[question.id] = points
            result.comments[question.id] = comment
        is_open = missing(entered, student.id, assignment.written)
        result.status = "written part open" if is_open else "graded"
    return results
