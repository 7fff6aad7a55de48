"""Verifies that the sandbox holds on this machine, before it is relied on.

A probe inside tries what it must not be able to do, next to what it must:
a sandbox in which nothing works would seem safe too. The limits are made
small, and each is driven to its end.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from .broker import Fault, Lost, Session
from .sandbox import MB, Limits, Sandbox

SMALL = Limits(memory=700 * MB, processes=24, disk=8 * MB, inodes=64)

# what the probe reports -> what it must be, and what it would mean
EXPECTED: dict[str, tuple[Any, str]] = {
    "computes": (4, "numpy does not work inside"),
    "reads_its_own_file": (True, "nothing can be written inside"),
    "reads_canary": (False, "files of the host can be read"),
    "sees_environment": (False, "the grader's environment is visible"),
    "sees_host_processes": (False, "processes of the host are visible"),
    "is_root": (False, "student code runs as root"),
    "capabilities": (0, "student code has capabilities"),
    "new_privileges": (False, "set-uid programs work inside"),
    "filtered": (True, "system calls are not filtered"),
    "connects": (False, "the network of the host can be reached"),
    "new_namespace": (False, "a nested user namespace can be made"),
    "writes_system": (False, "the system can be written to"),
    "memfd": (False, "memory outside of all limits can be had"),
    "processes_end": (True, "the number of processes is not limited"),
    "disk_ends": (True, "the disk is not limited"),
    "inodes_end": (True, "the number of files is not limited"),
}

PROBE = """
import os, socket, ctypes, numpy

def probe(canary, port, limit):
    def works(action):
        try:
            action()
            return True
        except BaseException:
            return False
    def own():
        with open("/tmp/own", "w") as file:
            file.write("x")
        assert open("/tmp/own").read() == "x"
    def status(name):
        lines = open("/proc/self/status").read().splitlines()
        return next(l.split()[1] for l in lines if l.startswith(name + ":"))
    def connect():
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    def namespace():
        if ctypes.CDLL(None).unshare(0x10000000):
            raise OSError
    def many():
        children = []
        try:
            for _ in range(4 * limit):
                pid = os.fork()
                if pid == 0:
                    import time
                    time.sleep(60)
                    os._exit(0)
                children.append(pid)
        finally:
            for pid in children:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
    def fill():
        try:
            with open("/tmp/large", "wb") as file:
                for _ in range(64):
                    file.write(bytes(1 << 20))
        finally:
            os.unlink("/tmp/large")
    def files():
        for i in range(1000):
            open(f"/dev/shm/{i}", "w").close()
    return {
        "computes": int(numpy.array([2, 2]).sum()),
        "reads_its_own_file": works(own),
        "reads_canary": works(lambda: open(canary).read()),
        "sees_environment": "DGM_CANARY" in os.environ,
        "sees_host_processes": len(
            [p for p in os.listdir("/proc") if p.isdigit()]) > 5,
        "is_root": os.getuid() == 0,
        "capabilities": int(status("CapBnd"), 16) | int(status("CapEff"), 16),
        "new_privileges": status("NoNewPrivs") != "1",
        "filtered": status("Seccomp") == "2",
        "connects": works(connect),
        "new_namespace": works(namespace),
        "writes_system": works(lambda: open("/usr/canary", "w"))
            or works(lambda: open("/dev/canary", "w")),
        "memfd": works(lambda: os.memfd_create("x")),
        "processes_end": not works(many),
        "disk_ends": not works(fill),
        "inodes_end": not works(files),
    }

def eat(total, each):
    import time
    for _ in range(total // each):
        if os.fork() == 0:
            block = bytearray(os.urandom(4096)) * (each // 4096)
            time.sleep(60)
            os._exit(0)
    time.sleep(30)
"""


def probe(sandbox: Sandbox) -> dict[str, Any]:
    """Run the probe in a sandbox with the limits ``SMALL``; return its facts.

    Raises:
        Fault: If the sandbox does not start.
        Lost: If the probe did not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder, "canary")
        canary.write_text("secret")
        for path in (canary.parent, canary):
            path.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as server:
            session = Session(sandbox)
            try:
                cell = {"do": "cell", "source": PROBE, "name": "<probe>"}
                session.ask(cell, 30)
                call = {
                    "do": "call",
                    "function": "probe",
                    "arguments": [
                        str(canary),
                        server.getsockname()[1],
                        sandbox.limits.processes,
                    ],
                    "arrays": "numpy",
                    "seed": 0,
                    "of": "",
                    "keep": "",
                }
                facts = session.ask(call, 30).get("value")
                if not isinstance(facts, dict):
                    raise Lost("the probe failed")
                facts["memory_ends"] = _memory_ends(session, call, sandbox)
                return facts
            finally:
                session.close()


def _memory_ends(
    session: Session, call: dict[str, Any], sandbox: Sandbox
) -> bool:
    """Let children together take more than one process may."""
    memory = sandbox.limits.memory
    arguments = [int(1.5 * memory), memory // 8]
    try:
        session.ask({**call, "function": "eat", "arguments": arguments}, 20)
    except Lost as lost:
        return "memory" in str(lost)
    return False


def verify() -> None:
    """Raise an error if the sandbox does not hold on this machine.

    Raises:
        OSError: With all that is wrong, and what to do.
    """
    os.environ["DGM_CANARY"] = "secret"
    try:
        with Sandbox(SMALL) as sandbox:
            facts = probe(sandbox)
    except (Fault, Lost) as error:
        raise OSError(f"{_REFUSED} {error}. {_ADVICE}") from error
    finally:
        del os.environ["DGM_CANARY"]
    expected = {**EXPECTED, "memory_ends": (True, "memory is not limited")}
    wrong = [
        meaning
        for key, (value, meaning) in expected.items()
        if facts.get(key) != value
    ]
    if wrong:
        raise OSError(f"{_REFUSED} {'; '.join(wrong)}. {_ADVICE}")


_REFUSED = "the sandbox does not hold on this machine, so nothing is graded:"
_ADVICE = (
    "User namespaces must be allowed (on Ubuntu: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0), or grade in a "
    "container (see the Dockerfile). --unsafe grades without a sandbox: only "
    "code that you would run yourself"
)
