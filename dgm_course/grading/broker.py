"""Talks to a worker over its pipes, and believes nothing that it says.

Three ways to end are kept apart. A student's process that dies, hangs or
sends nonsense raises ``Lost``: the question is lost. A sandbox that never
said "ready", or was killed from outside, raises ``Fault``: that is tried
again, and is never a score.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import Any

from .inside import wire
from .process import Process
from .sandbox import Sandbox

FRAME = 1 << 24  # bytes of an answer
START = 60.0  # seconds until a worker must be ready, on a busy machine
# seconds of the clock for each CPU second, and as much again; what a process
# of a crowded machine stands in line is not counted
WALL = 4.0
TICK = 0.1  # seconds between two looks at what a sandbox uses


class Lost(Exception):
    """The student's process did not answer; the text says why.

    Students read it: no number and no word in it may be of their choice, or
    it would carry hidden inputs out.
    """


class Fault(Exception):
    """The sandbox failed, and not by the student's doing."""


class Session:
    """One worker in one sandbox.

    Args:
        sandbox: Where to start it.
        last: A process that was killed inside its sandbox was killed by the
            student's code; else it may have been the system that was short
            of memory, which is a fault and tried again.

    Raises:
        Fault: If it does not start.
    """

    def __init__(self, sandbox: Sandbox, last: bool = True):
        self.memory, self.number = sandbox.limits.memory, 0
        self.last = last
        try:
            self.process: Process = sandbox.start()
        except OSError as error:
            raise Fault(f"no sandbox could be started: {error}") from error
        for pipe in (self.process.stdin, self.process.stdout):
            os.set_blocking(pipe.fileno(), False)
        try:
            ready = self._receive(START, START)
        except Lost as lost:
            self.process.end()
            words = self.process.last_words()
            self.process.close()
            raise Fault(f"a sandbox did not start: {lost}; {words}") from None
        except BaseException:
            self.process.close()
            raise
        assert ready == {"number": 0, "value": "ready"}

    def close(self) -> None:
        """End the sandbox."""
        self.process.close()

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the reply of the worker.

        Args:
            request: See ``inside/worker.py``.
            seconds: CPU seconds of all processes of the sandbox.

        Raises:
            Lost: If no proper reply came in time. The session is over.
            Fault: If the sandbox was killed from outside.
        """
        self.number += 1
        self._deadline(seconds)
        self._send(wire.encode(request))
        reply = self._receive(seconds)
        if not _is_reply(reply, self.number):
            raise self._lost("an answer that does not belong to its question")
        return reply

    def spent(self) -> float:
        """Return seconds of the clock that the last request took.

        What a process that lives stood in line for a processor is left out.
        """
        clock = time.monotonic() - self.started
        return clock - max(0.0, self.process.waited() - self.waited)

    def _deadline(self, seconds: float, wall: float | None = None) -> None:
        self.cpu_end = self.process.usage()[0] + seconds
        self.started = time.monotonic()
        self.wall_end = self.started + (wall or WALL * (1 + seconds))
        self.waited = self.process.waited()
        self.seconds = seconds

    def _send(self, frame: bytes) -> None:
        view, pipe = memoryview(frame), self.process.stdin.fileno()
        while view:
            if self._wait(pipe, writing=True):
                try:
                    view = view[os.write(pipe, view) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._ended() from None

    def _receive(self, seconds: float, wall: float | None = None) -> Any:
        if wall:
            self._deadline(seconds, wall)
        (length,) = wire.LENGTH.unpack(self._read(4))
        if length > FRAME:
            raise self._lost(f"an answer of more than {FRAME >> 20} MB")
        try:
            return wire.decode(self._read(length))
        except wire.Malformed:
            raise self._lost("an answer that is none") from None

    def _read(self, length: int) -> bytes:
        parts, left, pipe = [], length, self.process.stdout.fileno()
        while left:
            if self._wait(pipe, writing=False):
                part = os.read(pipe, min(left, 1 << 20))
                if not part:
                    raise self._ended()
                parts.append(part)
                left -= len(part)
        return b"".join(parts)

    def _wait(self, pipe: int, writing: bool) -> bool:
        """Wait a moment for a pipe; end a sandbox that used too much."""
        to_write, to_read = ([pipe], []) if writing else ([], [pipe])
        if any(select.select(to_read, to_write, [], TICK)):
            if self._is_late():  # drop by drop
                raise self._lost("no answer in time")
            return True
        if self.process.process.poll() is not None:
            raise self._ended()
        cpu, memory = self.process.usage()
        if cpu > self.cpu_end:
            raise self._lost(f"no answer within {self.seconds:g} CPU seconds")
        if self._is_late():
            raise self._lost("no answer in time")
        if memory > self.memory:
            raise self._lost(f"more than {self.memory >> 20} MB of memory")
        return False

    def _is_late(self) -> bool:
        late = time.monotonic() - self.wall_end
        return late > 0 and late > self.process.waited() - self.waited

    def _lost(self, reason: str) -> Lost:
        self.process.end()
        return Lost(reason)

    def _ended(self) -> Lost | Fault:
        """Say why a sandbox ended that we did not end."""
        if self.process.process.poll() is None:  # it closed its pipe
            try:
                self.process.process.wait(1.0)
            except Exception:
                return self._lost("no answer: the pipe was closed")
        status = self.process.process.returncode
        group = self.process.group
        if group is not None and group.memory_ran_out():
            return Lost(f"more than {self.memory >> 20} MB of memory")
        if status < 0:  # bubblewrap itself: students cannot reach it
            return Fault(f"a sandbox was ended by signal {-status}")
        if status == 128 + signal.SIGKILL and not self.last:
            return Fault("a process in a sandbox was killed")
        return Lost("the process ended")


def _is_reply(reply: Any, number: int) -> bool:
    """Say whether a reply has its number, and text where text belongs.

    ``value`` may be anything; an array in another place would be neither
    true nor false.
    """
    if not isinstance(reply, dict) or type(reply.get("number")) is not int:
        return False
    texts = all(isinstance(reply.get(k, ""), str) for k in ("error", "message"))
    known = set(reply) <= {"number", "value", "missing", "error", "message"}
    missing = reply.get("missing", True) is True
    return reply["number"] == number and texts and known and missing
