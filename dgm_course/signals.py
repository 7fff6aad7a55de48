"""Ctrl-C and the SIGTERM of a scheduler, heard at the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible(insist: bool) -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into a request, so that a step ends in peace.

    Args:
        insist: A second Ctrl-C is immediate. Under torchrun, which repeats the
            first to its processes, it is not.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request(number: int, _: Any) -> None:
        if insist and number == signal.SIGINT and event.is_set():
            raise KeyboardInterrupt
        event.set()

    unheard = signal.SIG_IGN, None  # what somebody has decided to ignore
    heard = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in unheard
    ]
    before = {number: signal.signal(number, request) for number in heard}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
