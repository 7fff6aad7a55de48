"""Grades many submissions: here in threads, or on the workers of dask.

A thread does little but wait for its sandbox. Whatever grades, this process
alone writes the journal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from . import assignments, selftest
from .assignments import Assignment
from .broker import Fault, Session
from .collect import Submission
from .examine import Examination, Outcome
from .journal import Journal
from .sandbox import Sandbox

ATTEMPTS = 3
PAUSE = 1.0  # seconds before another attempt


@dataclass(frozen=True)
class Job:
    """The code of one submission and what is to be graded in it.

    Attributes:
        code: Hash of the cells.
        cells: Sources of the code cells.
        questions: Ids, with the hashes of the questions.
    """

    code: str
    cells: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


def examine(
    job: Job, assignment: Assignment, sandbox: Sandbox
) -> tuple[dict[str, Outcome], list[str]]:
    """Grade one submission in sandboxes.

    Returns:
        Outcomes by the questions' hashes, and notes on its cells.

    Raises:
        Fault: If the sandbox failed at every attempt.
    """
    digests = dict(job.questions)
    questions = [q for q in assignment.graded if q.id in digests]
    for attempt in range(1, ATTEMPTS + 1):
        last = attempt == ATTEMPTS
        examination = Examination(job.cells, partial(Session, sandbox, last))
        try:
            outcomes = examination.grade(questions)
        except Fault:
            if last:
                raise
            time.sleep(PAUSE)
            continue
        notes = [text for _, text in sorted(examination.notes.items())]
        return {digests[key]: o for key, o in outcomes.items()}, notes
    raise AssertionError("no attempt")


def run(
    submissions: Sequence[Submission],
    assignment: Assignment,
    journal: Journal,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    unsafe: bool = False,
) -> dict[str, str]:
    """Grade what the journal does not hold yet.

    Args:
        submissions: Those without a notebook are passed over.
        assignment: What is asked.
        journal: Outcomes are taken from it and added to it.
        workers: Sandboxes at a time; None means one a core.
        scheduler: Address of a dask scheduler, whose workers grade instead.
        unsafe: Without a sandbox.

    Returns:
        Hash of the code -> why it could not be graded, for our own faults.

    Raises:
        OSError: If the sandbox does not hold here.
    """
    digests = {q.id: assignment.digest(q) for q in assignment.graded}
    jobs = {}
    for submission in submissions:
        if submission.notebook is None:
            continue
        code = submission.notebook.digest()
        missing = tuple(
            (key, digest)
            for key, digest in digests.items()
            if (code, digest) not in journal.outcomes
        )
        if missing:
            jobs[code] = Job(code, tuple(submission.notebook.code), missing)
    faults: dict[str, str] = {}
    if not jobs:
        return faults
    if scheduler:
        results = _on_dask(jobs, assignment, scheduler, unsafe)
    else:
        results = _in_threads(jobs, assignment, workers, unsafe)
    bar = tqdm(total=len(jobs), desc=f"grading {assignment.name}", unit="")
    with bar:
        for code, result in results:
            if isinstance(result, str):
                faults[code] = result
            else:
                journal.add(code, *result)
            bar.update()
    return faults


def _told(error: BaseException) -> str:
    """Say what went wrong: a fault, or an error of this program."""
    return str(error) if isinstance(error, Fault) else repr(error)[:300]


Result = tuple[dict[str, Outcome], list[str]] | str


def _in_threads(
    jobs: dict[str, Job],
    assignment: Assignment,
    workers: int | None,
    unsafe: bool,
) -> Iterator[tuple[str, Result]]:
    with Sandbox(unsafe=unsafe) as sandbox:
        if not unsafe:
            selftest.verify()
        pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        try:
            futures = {
                pool.submit(examine, job, assignment, sandbox): code
                for code, job in jobs.items()
            }
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except OSError:  # of this machine: every other one has it too
                    raise
                except Exception as error:  # a fault of ours
                    yield futures[future], _told(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            sandbox.close()  # what still runs ends, and so do the threads
            pool.shutdown()


def _on_dask(
    jobs: dict[str, Job], assignment: Assignment, scheduler: str, unsafe: bool
) -> Iterator[tuple[str, Result]]:
    """A job of a worker that dies is given to another one by dask."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "--scheduler needs dask: `pip install distributed`"
        ) from error
    folder = assignment.folder
    with distributed.Client(scheduler, timeout=30) as client:
        futures = {
            client.submit(
                _on_a_worker,
                job,
                folder.name,
                str(folder.parent),
                unsafe,
                key=f"{code}-{hash(job.questions)}",
                pure=False,
            ): code
            for code, job in jobs.items()
        }
        for future in distributed.as_completed(futures):
            failure = future.exception()
            code = futures[future]
            yield code, _told(failure) if failure else future.result()


def _on_a_worker(job: Job, name: str, folder: str, unsafe: bool) -> Any:
    """Runs on a machine that has this package and the assignment too."""
    assignment = assignments.load(name, Path(folder))
    for question in assignment.graded:
        digest = dict(job.questions).get(question.id)
        if digest not in (None, assignment.digest(question)):
            raise ValueError(
                f"{question.id} differs between this worker's {folder} and "
                "that of the grader: give all machines the same files"
            )
    return examine(job, assignment, _sandbox(unsafe))


@cache
def _sandbox(unsafe: bool) -> Sandbox:
    sandbox = Sandbox(unsafe=unsafe)
    if not unsafe:
        selftest.verify()
    return sandbox
