"""Runs the code cells of a notebook as IPython would, without IPython.

Magics and shell lines are left out: in the sandbox there is nothing that they
could install, and what they print is not looked at.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import re
import sys
import types
from typing import Any

_SHELL = re.compile(r"\s*(?:[%!?]|[\w.]+\?{1,2}\s*$)")
_ASSIGNED = re.compile(r"(\s*[\w, ]+=)\s*[!%]")
_TIMED = re.compile(r"(\s*)%(?:time|prun)\s+(?=\S)")
_SHOWN = (
    "IPython",
    "IPython.display",
    "google",
    "google.colab",
    "google.colab.drive",
    "google.colab.files",
    "google.colab.output",
    "ipywidgets",
)
_RUNS = ("%%time", "%%capture", "%%timeit", "%%prun")


def python_of(source: str) -> str:
    """Turn a cell into Python: magics and shell lines become nothing.

    Only lines at which Python finds a syntax error are looked at, so that a
    string or an expression with ``%`` or ``!`` at the start of a line stays.
    A statement after ``%time`` is kept.
    """
    lines = source.split("\n")
    first = next((i for i, x in enumerate(lines) if x.strip()), 0)
    if lines[first].startswith("%%"):
        if not lines[first].startswith(_RUNS):
            return ""
        lines[first] = ""
    for _ in range(len(lines)):
        try:
            ast.parse("\n".join(lines))
            break
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            line = (getattr(error, "lineno", None) or 0) - 1
            if not 0 <= line < len(lines) or not _repair(lines, line):
                break  # an honest syntax error: it is raised when it runs
    return "\n".join(lines)


def _repair(lines: list[str], at: int) -> bool:
    line = lines[at]
    indent = line[: len(line) - len(line.lstrip())]
    while lines[at].endswith("\\") and at + 1 < len(lines):
        lines[at], lines[at + 1] = "", indent + lines[at + 1].lstrip()
        at += 1  # what continues a shell line belongs to it
    if timed := _TIMED.match(line):
        lines[at] = timed[1] + line[timed.end() :]
    elif assigned := _ASSIGNED.match(line):
        lines[at] = assigned[1] + " None"
    elif _SHELL.match(line):
        lines[at] = indent + "pass"
    else:
        return False
    return True


class _Shown(types.ModuleType):
    """Stands for a package that only shows things: any name does nothing."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def replace_displays() -> None:
    """Let a notebook import what shows things, with nothing behind it."""
    for name in _SHOWN:
        sys.modules[name] = _Shown(name)
    # matplotlib asks; after 8.24 it leaves its back ends to IPython
    sys.modules["IPython"].__dict__["version_info"] = (9, 0, 0)


class Notebook:
    """The name space in which the cells of one notebook run."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.names: dict[str, Any] = self.module.__dict__
        self.names["display"] = lambda *args, **kwargs: None
        self.names["get_ipython"] = lambda: _Shown("IPython")

    def run(self, source: str, name: str) -> None:
        """Run one cell; what it defined before an exception stays.

        Args:
            source: Text of the cell.
            name: What tracebacks call it, such as ``<cell 3>``.
        """
        sys.modules["__main__"] = self.module
        text = python_of(source)
        # inspect.getsource and tracebacks find the text here
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        code = compile(
            text,
            name,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, self.names))
        else:
            exec(code, self.names)
