"""Text of students in a CSV that a person opens with a spreadsheet."""

from __future__ import annotations

import re

# a formula begins a cell, and a cell begins behind what separates cells in
# some country; the last four are the signs in their wide forms
_SIGNS = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(rf"(^|[;,\t\r\n])(\s*)({_SIGNS})")
_PLAIN = re.compile(rf"(^|[;,\t\r\n])(\s*)'({_SIGNS})")


def plain(value: str) -> str:
    """Keep a spreadsheet from taking a student's text for a formula."""
    return _FORMULA.sub(r"\1\2'\3", value)


def original(value: str) -> str:
    """Undo ``plain``."""
    return _PLAIN.sub(r"\1\2\3", value)
