"""Runs a student's cells, then calls the student's functions when asked.

All that a student's code does to this process it does to its own answers.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any, BinaryIO

import numpy as np

from . import wire
from .cells import Notebook, replace_displays

TEXT = 300  # characters of an error message that are handed on


class Worker:
    """Answers the requests of the grader, one at a time."""

    def __init__(self) -> None:
        self.notebook = Notebook()
        self.kept: dict[str, Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked.

        Args:
            request: ``do`` is "cell" (``source``, ``name``) or "call"
                (``function``, ``arguments``, ``arrays``, ``seed``; ``keep``
                and ``of`` name a result that stays here, and is the first
                argument of a later call).

        Returns:
            ``value``, or ``missing`` where there is no such function, or
            ``error`` and ``message``, the type and text of an exception.
        """
        try:
            if request["do"] == "cell":
                self.notebook.run(request["source"], request["name"])
                return {"value": None}
            return self._call(request)
        except BaseException as error:  # SystemExit and Ctrl-C too
            try:
                message = str(error)[:TEXT]
            except BaseException:
                message = ""
            return {"error": type(error).__name__[:TEXT], "message": message}

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        function = self.notebook.names.get(request["function"])
        if not callable(function):
            return {"missing": True}
        seed(request["seed"])
        arguments = [
            tensors(a, request["arrays"]) for a in request["arguments"]
        ]
        if request["of"]:
            arguments.insert(0, self.kept[request["of"]])
        value = function(*arguments)
        if request["keep"]:
            self.kept[request["keep"]] = value
            return {"value": value is not None}
        return {"value": arrays(value)}


def seed(number: int) -> None:
    """Seed every generator that a student may use."""
    random.seed(number)
    np.random.seed(number)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number)


def tensors(value: Any, kind: str) -> Any:
    """Turn the arrays in a tree into tensors, if ``kind`` is "torch"."""
    if kind == "torch" and isinstance(value, np.ndarray):
        import torch

        return torch.from_numpy(value.copy())
    if isinstance(value, tuple | list):
        return type(value)(tensors(v, kind) for v in value)
    if isinstance(value, dict):
        return {k: tensors(v, kind) for k, v in value.items()}
    return value


def arrays(value: Any, depth: int = 0) -> Any:
    """Turn the tensors in a tree into arrays."""
    if depth > wire.DEPTH:
        raise TypeError("containers in containers in containers")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().cpu().resolve_conj().resolve_neg().numpy()
    if isinstance(value, tuple | list):
        kind = tuple if isinstance(value, tuple) else list
        return kind(arrays(v, depth + 1) for v in value)
    if isinstance(value, dict):
        return {k: arrays(v, depth + 1) for k, v in value.items()}
    return value


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the grader closes the pipe."""
    _send(replies, wire.encode({"number": 0, "value": "ready"}))
    worker, number = Worker(), 0
    while head := requests.read(4):
        body = requests.read(*wire.LENGTH.unpack(head))
        number += 1
        reply = worker.answer(wire.decode(body))
        try:
            frame = wire.encode({"number": number, **reply})
        except BaseException as error:
            reply = {"error": type(error).__name__, "message": str(error)}
            frame = wire.encode({"number": number, **reply})
        _send(replies, frame)


def _send(replies: BinaryIO, frame: bytes) -> None:
    replies.write(frame)
    replies.flush()


def main() -> None:
    """Serve on standard input and output, which student code gets as null."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    replace_displays()
    serve(requests, replies)
