"""A process that can no longer reach the network or start programs.

Invariants:
- the kernel refuses the system calls (seccomp, Linux on x86-64 and ARM64; needs no privilege) and
  cannot be asked to give them back; elsewhere Python's audit hook alone refuses them;
- a refused call fails with PermissionError: it never ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
"""linux/prctl.h and linux/seccomp.h."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4
_X32 = 0x40000000
"""System calls of the x32 ABI would go round the list."""
_REFUSED_CALLS = {
    # socket connect accept sendto bind socketpair fork vfork execve ptrace memfd_create execveat
    # io_uring_setup
    "x86_64": (0xC000003E, (41, 42, 43, 44, 49, 53, 57, 58, 59, 101, 319, 322, 425)),
    "aarch64": (0xC00000B7, (198, 203, 202, 206, 200, 199, 221, 117, 279, 281, 425)),
}
_REFUSED_EVENTS = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.system",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.",
    "pty.",
)


def confine() -> bool:
    """Give up network and program starts for good. Returns whether the kernel enforces it."""
    enforced = _seccomp()
    sys.addaudithook(_refuse)
    return enforced


def _refuse(event: str, _: object) -> None:
    if event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"a verifier worker may not do this: {event}")


def _seccomp() -> bool:
    calls = _REFUSED_CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if calls is None:
        return False
    program = _program(*calls)
    buffer = ctypes.create_string_buffer(program)
    length = len(program) // struct.calcsize("HBBI")
    address = ctypes.addressof(buffer)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", length, address))
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(kernel.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Berkeley packet filter: refuse ``calls`` and x32, allow the rest (seccomp(2))."""
    checks = len(calls) + 1
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_EQUAL, 0, checks + 1, architecture),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_AT_LEAST, checks, 0, _X32),
        *((_EQUAL, checks - 1 - position, 0, call) for position, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
