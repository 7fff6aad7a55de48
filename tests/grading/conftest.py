"""Sandboxes, and a host with something to steal."""

import os
import secrets
import socket
import subprocess
import sys
import sysconfig
import threading

import pytest

from dgm_course.grading.sandbox import MB, Limits, Sandbox

# the grader needs Linux (elsewhere the Dockerfile), and so do its tests
if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py", "naive.py", "classroom.py"]

LIMITS = Limits(
    memory=512 * MB, processes=24, disk=16 * MB, inodes=128, files=128
)


@pytest.fixture(scope="session")
def sandbox():
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def plain():
    """No sandbox at all: what an attack can do by itself."""
    with Sandbox(unsafe=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """What attacks are told of the host; the secret is written backwards."""
    top = tmp_path_factory.mktemp("world")
    for folder in [top, *top.parents][:3]:
        folder.chmod(0o755)
    secret = secrets.token_hex(16)
    file = top / "hidden_canary.py"
    file.write_text(secret)
    os.mkfifo(top / "fifo", 0o666)
    os.chmod(top / "fifo", 0o666)
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(top / "socket"))
    (top / "socket").chmod(0o777)
    unix.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0" + secret[:8])
    abstract.listen()

    def answer():
        try:
            while True:
                udp.sendto(b"y", udp.recvfrom(10)[1])
        except OSError:
            return

    threading.Thread(target=answer, daemon=True).start()
    victim = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(3600)", secret],
        env={**os.environ, "DGM_CANARY": secret},
    )
    opened = os.open(file, os.O_RDONLY)
    yield {
        "secret": secret[::-1],
        "top": str(top),
        "file": str(file),
        "fifo": str(top / "fifo"),
        "socket": str(top / "socket"),
        "abstract": secret[:8],
        "port": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "victim": victim.pid,
        "pid": os.getpid(),
        "descriptor": opened,
        "packages": sysconfig.get_path("purelib"),
        "memory": LIMITS.memory,
        "processes": LIMITS.processes,
        "disk": LIMITS.disk,
        "inodes": LIMITS.inodes,
        "files": LIMITS.files,
    }
    victim.kill()
    victim.wait()
    os.close(opened)
    for server in (tcp, udp, unix, abstract):
        server.close()
