"""What a program does to itself when it works for another one: it dies with it, takes no more than
its share, and keeps silent. Standard library only.

Invariant: after :func:`die_with` or :func:`die_with_multiprocessing_parent` a process is gone within
moments of its parent's death, a SIGKILL included, also while it computes.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h."""
KILLED = 128 + signal.SIGKILL
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
_watching: set[int] = set()
"""Ids of processes that watch their parent; ids, since a forked one inherits the set but no thread."""


def set_process_option(option: int, value: int) -> None:
    """Linux's prctl(2); nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent ends (Linux); end now if it has ended already.

    Linux sends it when the *thread* that started this process ends, so that thread must last.
    """
    set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(KILLED)


def belong_to(parent: int) -> None:
    """:func:`die_with` the parent, and leave Ctrl-C for it to handle."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def die_with_multiprocessing_parent() -> None:
    """:func:`die_with` for a process that multiprocessing started; harmless elsewhere.

    By a thread of its own, since nobody promises that the starting thread lasts. The process also
    leaves its parent's group, so that a Ctrl-C in the terminal reaches only the parent, which then
    ends it in order.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None or os.getpid() in _watching:
        return
    _watching.add(os.getpid())
    os.setpgid(0, 0)
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True, name="parent-watch").start()


def _end_after(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    # SIGKILL: nobody is left to wait for a tidy end, and a busy interpreter could ignore less.
    os.kill(os.getpid(), signal.SIGKILL)


def limit_resources(memory_mib: int) -> None:
    """Bound this process's address space; it can write no file and leaves no core dump."""
    memory = memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def environment_without_secrets(root: Path) -> dict[str, str]:
    """What a child needs to import the modules under ``root`` and nothing else: tokens and passwords stay here."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    paths = [str(root), *(path for path in sys.path if path)]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}


def silence() -> None:
    """Send what libraries print from now on to nowhere: input must not be able to fill a log."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
