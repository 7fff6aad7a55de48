"""What a tree of processes uses, read from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def tree(pid: int) -> list[int]:
    """Return a process and all of its descendants."""
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        return _tree_of_all(pid)
    found = [pid]
    for parent in found:  # grows while it is read
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def _tree_of_all(pid: int) -> list[int]:
    """The same where the kernel lists no children."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for parent in found:  # grows while it is read
        found += children.get(parent, [])
    return found


def of_tree(pid: int) -> tuple[float, int]:
    """Return CPU seconds and bytes of memory of a process and descendants.

    Memory is what no other process shares (``RssAnon``) and shared memory,
    which forks may count twice: rather too much than too little.
    """
    seconds, kilobytes = 0.0, 0
    for one in tree(pid):
        fields = _stat(one)
        if not fields:
            continue
        # own time, and that of children that have ended
        seconds += sum(int(x) for x in fields[11:15]) / _TICKS
        kilobytes += _memory(one)
    return seconds, kilobytes * 1024


def waited(pid: int) -> float:
    """Return seconds in which a process was ready and another one ran.

    The longest of the process and its descendants; 0 where the kernel does
    not count.
    """
    longest = 0
    for one in tree(pid):
        try:
            text = Path(f"/proc/{one}/schedstat").read_text()
            longest = max(longest, int(text.split()[1]))
        except (OSError, IndexError, ValueError):
            continue
    return longest / 1e9


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    return sum(
        int(line.split()[1])
        for line in lines.splitlines()
        if line.startswith(("RssAnon:", "RssShmem:"))
    )
