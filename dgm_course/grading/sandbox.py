"""Starts one student's process in bubblewrap, and ends all that it started.

The grader, in its own mount namespace, mounts one small tmpfs with a limit on
its files and reaches what the student's uid could not; then, as an ordinary
user, bubblewrap builds the sandbox: every namespace new, no capability, no
way to a nested one, nothing writable but that tmpfs. See ``selftest.py`` for
what is verified before anything is graded.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

from . import environment, seccomp
from .cgroups import Cgroup
from .process import Process

# systemd keeps these uids for services that last as long as one job
UIDS = range(61184, 65520)
_uids = itertools.count(random.SystemRandom().randrange(len(UIDS)))
MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What all processes of one sandbox may use together.

    Attributes:
        memory: Bytes, and the address space of each process.
        processes: Processes and threads.
        disk: Bytes in all writable folders, and in a single file.
        inodes: Files in all writable folders.
        files: Open files of each process.
    """

    memory: int = 4096 * MB
    processes: int = 64
    disk: int = 256 * MB
    inodes: int = 4096
    files: int = 256


class Sandbox:
    """Starts workers that are alike; close it when all have ended.

    Args:
        limits: What one worker may use.
        unsafe: Start plain processes of the operator instead.

    Raises:
        OSError: If a program is missing, with what to install.
    """

    def __init__(self, limits: Limits | None = None, unsafe: bool = False):
        self.limits, self.unsafe = limits or Limits(), unsafe
        self.packages = environment.packages()
        self.stage = Path(tempfile.mkdtemp(prefix="dgm-grade-"))
        self.stage.chmod(0o755)  # the student's uid passes through
        self._mounts: list[Path] = []
        self._running: weakref.WeakSet[Process] = weakref.WeakSet()
        if unsafe:
            return
        programs = ["bwrap", "unshare", "prlimit", "setpriv", "mount", "sh"]
        missing = [name for name in programs if shutil.which(name) is None]
        if sys.platform != "linux" or missing:
            self.close()
            raise OSError(
                f"the sandbox needs Linux with {', '.join(missing or programs)}"
                ": `apt install bubblewrap util-linux`, or grade in a "
                "container (see the Dockerfile)"
            )
        self.filter = seccomp.program()
        (self.stage / "room").mkdir()
        self.root = os.getuid() == 0
        self.arguments = self._bubblewrap()

    def close(self) -> None:
        """Kill what runs; remove the mount points, which are empty here."""
        for process in list(self._running):
            with contextlib.suppress(OSError):
                process.process.kill()
        for folder in [self.stage / "room", *self.stage.glob("[0-9]*")]:
            with contextlib.suppress(OSError):
                folder.rmdir()
        shutil.rmtree(self.stage / "unsafe", ignore_errors=True)
        with contextlib.suppress(OSError):
            self.stage.rmdir()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, words: list[str] | None = None) -> Process:
        """Start a worker, or another command (for tests).

        Raises:
            OSError: If the process could not be started.
        """
        command = words or self.worker()
        if self.unsafe:
            return self._plain(command)
        uid = UIDS[next(_uids) % len(UIDS)] if self.root else os.getuid()
        group = Cgroup.create(self.limits.memory, self.limits.processes)
        read, write = os.pipe()
        os.write(write, self.filter)
        os.close(write)
        try:
            process = subprocess.Popen(
                self._launch(uid, group, read, command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[read],
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                bufsize=0,
            )
        except BaseException:
            if group:
                group.remove()
            raise
        finally:
            os.close(read)
        started = Process(process, None, group)
        self._running.add(started)
        return started

    def worker(self) -> list[str]:
        """Return the words that start the worker."""
        if self.unsafe:
            path, executable = [str(environment.HERE)], sys.executable
            path += [str(environment.HERE.parents[1])]
        else:
            path = ["/grader", "/course", "/packages"]
            executable = self._executable()
        code = (
            f"import sys; sys.path[:0] = {path}; "
            "from inside.worker import main; main()"
        )
        flags = [] if self.unsafe else ["-s", "-S"]
        return [executable, *flags, "-P", "-B", "-X", "utf8", "-c", code]

    def _plain(self, command: list[str]) -> Process:
        home = self.stage / "unsafe"
        home.mkdir(exist_ok=True)
        folder = tempfile.mkdtemp(dir=home)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment.variables(), "HOME": folder},
            cwd=folder,
            bufsize=0,
            start_new_session=True,
        )
        return Process(process, folder, None)

    def _mounted(self, source: Path) -> str:
        """Return a path at which the student's uid can reach ``source``."""
        ways = [source, *source.parents]
        if not self.root or all(p.stat().st_mode & 0o005 == 5 for p in ways):
            return str(source)
        if source not in self._mounts:
            self._mounts.append(source)
            (self.stage / str(len(self._mounts) - 1)).mkdir()
        return str(self.stage / str(self._mounts.index(source)))

    def _executable(self) -> str:
        if environment.prefix().is_relative_to("/usr"):
            return str(environment.python())
        inner = environment.python().relative_to(environment.prefix())
        return f"/python/{inner}"

    def _bubblewrap(self) -> list[str]:
        """Return bubblewrap's arguments, but for the filter and command."""
        words = (
            "--unshare-all --unshare-user --disable-userns --uid 1000 "
            "--gid 1000 --hostname sandbox --cap-drop ALL --new-session "
            "--die-with-parent --clearenv --ro-bind /usr /usr"
        ).split()
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            top = Path("/", name)
            if top.is_symlink():
                words += ["--symlink", os.readlink(top), str(top)]
            elif top.is_dir():
                words += ["--ro-bind", str(top), str(top)]
        for name in ("ld.so.cache", "ld.so.conf", "alternatives"):
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        prefix, shown = environment.prefix(), {Path("/usr"): "/usr"}
        library = "/usr/lib"
        if not prefix.is_relative_to("/usr"):
            words += ["--ro-bind", self._mounted(prefix), "/python"]
            shown[prefix], library = "/python", "/python/lib"
        for path in environment.hidden(list(shown)):
            root = next(s for s in shown if path.is_relative_to(s))
            inner = str(Path(shown[root], path.relative_to(root)))
            words += ["--size", "4096", "--tmpfs", inner]
            words += ["--remount-ro", inner]
        places = {f"/packages/{n}": p for n, p in self.packages.items()}
        places |= {
            f"/course/dgm_course/{n}": p
            for n, p in environment.course().items()
        }
        places["/grader/inside"] = environment.HERE / "inside"
        for place, path in places.items():
            source = Path(self._mounted(path.parent.resolve()), path.name)
            words += ["--ro-bind", str(source), place]
        words += "--proc /proc --dev /dev".split()
        for place in ("/dev/shm", "/tmp", "/home"):
            inner = place.rsplit("/", 1)[-1]
            words += ["--bind", f"{self.stage}/room/{inner}", place]
        words += "--remount-ro /dev --remount-ro / --chdir /home".split()
        for name, value in environment.variables().items():
            words += ["--setenv", name, value]
        return [*words, "--setenv", "LD_LIBRARY_PATH", library]

    def _launch(
        self, uid: int, group: Cgroup | None, filter_fd: int, command: list[str]
    ) -> list[str]:
        """Return a command that becomes bubblewrap, in the same process."""
        limits, room = self.limits, self.stage / "room"
        options = f"size={limits.disk},nr_inodes={limits.inodes},mode=0755"
        lines = ["set -e", "umask 0"]
        if group:
            lines += [f"echo 0 > {shlex.quote(str(p))}" for p in group.procs]
        lines += [f"mount -t tmpfs -o {options} tmpfs {room}"]
        lines += [f"mkdir -m 0777 {room}/shm {room}/tmp {room}/home"]
        for i, source in enumerate(self._mounts):
            place = f"{self.stage}/{i}"
            lines += [f"mount --bind {shlex.quote(str(source))} {place}"]
        limit = (
            f"/usr/bin/prlimit --as={limits.memory} --nproc={limits.processes} "
            f"--fsize={limits.disk} --nofile={limits.files} --core=0 "
            "--memlock=65536 --msgqueue=0 --stack=33554432 --"
        )
        words = ["bwrap", *self.arguments, "--seccomp", str(filter_fd), "--"]
        words += [*limit.split(), *command]
        namespace = ["unshare", "--mount"]
        if self.root:
            drop = f"--reuid {uid} --regid {uid} --clear-groups --"
            words = ["setpriv", *drop.split(), *words]
        else:
            namespace += ["--user", "--map-root-user"]
        lines += ["exec " + shlex.join(words)]
        return [*namespace, "sh", "-c", "\n".join(lines)]
