"""What a computation holds in memory, counted by the allocator."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import NamedTuple

from torch.profiler import ProfilerActivity, profile

# its profiler would report its own start and end, whatever watches stderr
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


class Memory(NamedTuple):
    """Bytes beyond those that were allocated before.

    Attributes:
        peak: The most that was held at once.
        left: What is held at the end, the result among it.
    """

    peak: int
    left: int


def allocated(function: Callable[[], object]) -> Memory:
    """Count the bytes that a call allocates on the CPU.

    Of a forward pass ``left`` is what autograd keeps for the backward pass,
    with the output. These are torch's own tensors, not what the system gave
    to the process, and the same in each run.

    Args:
        function: Called once; what it returns is let go after counting.

    Returns:
        The peak, and what is left.
    """
    # garbage of before that is let go now would count as less than nothing
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with profile(
            activities=[ProfilerActivity.CPU], profile_memory=True
        ) as recorded:
            result = function()
    finally:
        if collects:
            gc.enable()
    events = [
        event
        for event in recorded.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    alive = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    del result
    return Memory(most, alive)
