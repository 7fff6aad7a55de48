"""A sandbox that runs: its pipes, what it uses, and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

from . import usage
from .cgroups import Cgroup


class Process:
    """A running sandbox: its pipes, and what it uses."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: str | None,
        group: Cgroup | None,
    ):
        self.process, self.folder, self.group = process, folder, group
        assert process.stdin and process.stdout and process.stderr
        self.stdin, self.stdout = process.stdin, process.stdout
        self.stderr = process.stderr

    def usage(self) -> tuple[float, int]:
        """Return CPU seconds and bytes of memory of the whole tree."""
        return usage.of_tree(self.process.pid)

    def waited(self) -> float:
        """Return seconds for which it stood in line for a processor."""
        return usage.waited(self.process.pid)

    def end(self) -> int:
        """Kill the sandbox and all in it; return bubblewrap's exit status."""
        if self.process.poll() is None:
            self.process.kill()  # its children die with it
        status = self.process.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        if self.folder:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, 9)
            shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def last_words(self) -> str:
        """Return the start of what an ended sandbox wrote as its errors."""
        os.set_blocking(self.stderr.fileno(), False)
        try:
            text = self.stderr.read(2000) or b""
        except OSError:
            text = b""
        return text.decode(errors="replace").strip()

    def close(self) -> bool:
        """End it and free what it held; say if its memory ran out."""
        self.end()
        with contextlib.suppress(OSError):
            self.stderr.close()
        return self.group.remove() if self.group else False
