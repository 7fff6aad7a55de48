"""Compares an answer with what is expected, and says what is wrong with it.

Students read what these functions return: it never quotes an answer (which
may repeat a hidden input) nor an expected value.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from .questions import Test

_EXCEPTIONS = {
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}


def judge(test: Test, answer: Any) -> str | None:
    """Return None if an answer is right, else a sentence for the student."""
    if test.check is not None:
        try:
            return test.check(answer)
        except Exception:  # of another kind than the check looks at
            return f"the result is of another kind. {test.feedback}"
    wrong = _compare(test, test.expected, answer, "the result")
    return None if wrong is None else f"{wrong}. {test.feedback}"


def name_of(error: str) -> str:
    """Return the name of an exception that is safe to show.

    A student's own exception class could carry a hidden input in its name.
    """
    return error if error in _EXCEPTIONS else "an exception"


def _compare(test: Test, expected: Any, answer: Any, what: str) -> str | None:
    if isinstance(expected, tuple | list):
        if not isinstance(answer, tuple | list):
            return f"{what} should be a tuple of {len(expected)}"
        if len(answer) != len(expected):
            return f"{what} should have {len(expected)} parts"
        for i, (e, a) in enumerate(zip(expected, answer), 1):
            if wrong := _compare(test, e, a, f"part {i} of {what}"):
                return wrong
        return None
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or set(answer) != set(expected):
            return f"{what} should be a dictionary with other keys"
        for key, e in expected.items():
            if wrong := _compare(test, e, answer[key], f"{key!r} of {what}"):
                return wrong
        return None
    if isinstance(expected, str):
        right = isinstance(answer, str) and answer == expected
        return None if right else f"{what} is another text"
    return _compare_numbers(test, expected, answer, what)


def _compare_numbers(
    test: Test, expected: Any, answer: Any, what: str
) -> str | None:
    if not isinstance(answer, bool | int | float | np.ndarray):
        return f"{what} should be an array or a number"
    is_number = not isinstance(answer, np.ndarray)
    right, found = np.asarray(expected), np.asarray(answer)
    if found.shape != right.shape:
        return f"{what} should have shape {right.shape}"
    if right.dtype.kind != "f":  # a mask of 0.0 and 1.0 is a mask too
        same = bool(np.array_equal(found, right))
        return None if same else f"{what} has wrong values"
    if not is_number:
        if found.dtype.kind != "f":
            return f"{what} should be floating-point, {right.dtype}"
        if found.dtype.itemsize < right.dtype.itemsize:
            return f"{what} should keep the precision of {right.dtype}"
    if np.isnan(found).any() and not np.isnan(right).any():
        return f"{what} contains NaN"
    rtol = test.rtol
    if rtol is None:
        rtol = float(np.sqrt(np.finfo(right.dtype).eps))
    finite = np.abs(right[np.isfinite(right)]).astype(np.float64)
    atol = test.atol
    if atol is None:
        atol = rtol * float(finite.max(initial=0.0))
    close = np.allclose(
        found.astype(np.float64),
        right.astype(np.float64),
        rtol=rtol,
        atol=atol,
        equal_nan=True,
    )
    return None if close else f"{what} has wrong values"
