"""Control groups: the kernel's limits on all processes of a sandbox together.

Both versions are used where the operator may make groups, which mostly means
root; elsewhere the grader measures and kills (``usage.py``).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
_numbers = itertools.count()


@dataclass(frozen=True)
class Cgroup:
    """The group of one sandbox; several folders in version 1.

    Attributes:
        folders: Its folders.
    """

    folders: tuple[Path, ...]

    @classmethod
    def create(cls, memory: int, processes: int) -> Cgroup | None:
        """Make a group with limits, or return None where that is refused."""
        parents = _parents()
        if not parents:
            return None
        name = f"dgm-grade-{os.getpid()}-{next(_numbers)}"
        group = cls(tuple(parent / name for parent in parents))
        one = len(parents) == 1
        limits = [
            (0, "memory.max" if one else "memory.limit_in_bytes", memory),
            (-1, "pids.max", processes),
        ]
        try:
            for folder in group.folders:
                folder.mkdir()
            for i, file, value in limits:
                (group.folders[i] / file).write_text(str(value))
            # swap is memory too; some kernels count none
            swap = "memory.swap.max" if one else "memory.memsw.limit_in_bytes"
            with contextlib.suppress(OSError):
                (group.folders[0] / swap).write_text(str(0 if one else memory))
        except OSError:
            group.remove()
            return None
        return group

    @property
    def procs(self) -> list[Path]:
        """Files into which a process writes 0 to join."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def memory_ran_out(self) -> bool:
        """Say whether the kernel killed a process for its memory."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                text = (self.folders[0] / name).read_text()
                counts = dict(line.split() for line in text.splitlines())
                return int(counts.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> bool:
        """Remove the group once its processes are gone.

        Returns:
            Whether one of them was killed for its memory.
        """
        ran_out = self.memory_ran_out()
        for folder in self.folders:
            for _ in range(200):  # killed processes need a moment
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
        return ran_out


@cache
def _parents() -> tuple[Path, ...]:
    """Folders in which this process may make groups; empty if none."""
    if os.getuid() != 0:
        return ()
    if (TOP / "cgroup.controllers").exists():  # version 2
        with contextlib.suppress(OSError):
            (TOP / "cgroup.subtree_control").write_text("+memory +pids")
        try:
            given = (TOP / "cgroup.subtree_control").read_text().split()
        except OSError:
            return ()
        return (TOP,) if {"memory", "pids"} <= set(given) else ()
    both = (TOP / "memory", TOP / "pids")
    return both if all((p / "cgroup.procs").exists() for p in both) else ()
