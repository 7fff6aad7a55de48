"""System calls that a sandboxed process is refused.

Namespaces hide the files and processes of the host. What is left is refused
here: memory that no limit counts (memfd, System V), keyrings and sockets that
no namespace separates (a keyring belongs to the uid, AF_VSOCK leads to the
host of a virtual machine), input forged into a terminal, and the calls behind
most escapes from containers (mounts, new namespaces, bpf, io_uring, ptrace).
"""

from __future__ import annotations

import errno
import platform
import struct

# names, with their numbers on x86-64 and on 64-bit ARM
_REFUSED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_MACHINES = ("x86_64", "aarch64")
_AUDIT = (0xC000003E, 0xC00000B7)  # AUDIT_ARCH_... of the two
_CLONE, _SOCKET, _IOCTL = (56, 220), (41, 198), (16, 29)
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEW*, all of them
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16  # offsets in seccomp_data


def program() -> bytes:
    """Return the filter of this machine, as bwrap's ``--seccomp`` reads it.

    Raises:
        OSError: If the machine is of another architecture.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine()
    )
    if machine not in _MACHINES:
        raise OSError(
            f"the sandbox knows no system calls of {machine}, only those of "
            f"{' and '.join(_MACHINES)}; grade on such a machine"
        )
    which = _MACHINES.index(machine)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT[which]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":  # the second table of numbers, for x32
        code += _refuse(_AT_LEAST, 0x40000000, errno.ENOSYS)
    code += _refuse(_EQUAL, _CLONE3, errno.ENOSYS)  # libc then uses clone
    for numbers in _REFUSED.values():
        code += _refuse(_EQUAL, numbers[which], errno.EPERM)
    code += _when(_CLONE[which], 0, _refuse(_ANY_BIT, _NEW_NAMESPACES, 1))
    inputs = [_refuse(_EQUAL, n, errno.EPERM) for n in _TERMINAL_INPUT]
    code += _when(_IOCTL[which], 1, [*inputs[0], *inputs[1]])
    n = len(_FAMILIES)  # jumps over the others and the refusal
    families = [(_EQUAL, n - i, 0, f) for i, f in enumerate(_FAMILIES)]
    refused = (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT)
    code += _when(_SOCKET[which], 0, [*families, refused])
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in code)


_Line = tuple[int, int, int, int]


def _refuse(test: int, value: int, error: int) -> list[_Line]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, _ERRNO | error)]


def _when(number: int, argument: int, then: list[_Line]) -> list[_Line]:
    """Look at an argument (its low 32 bits) of one system call."""
    load = (_LOAD, 0, 0, _ARGUMENT + 8 * argument)
    # what follows finds the number of the call again
    body = [load, *then, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(body), number), *body]
