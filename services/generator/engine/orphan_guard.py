"""Engine processes that end when the generator does, however it ends.

Invariant: a process that called :func:`die_with_parent` is gone within moments of its parent's
death, a SIGKILL included. vLLM by itself leaves its engine process running then, holding memory
and cores.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

_guarded: set[int] = set()
"""Process ids with a guard; ids, since a forked process inherits the set but not the guard."""


def die_with_parent() -> None:
    """Tie this process to the one that started it through multiprocessing; harmless elsewhere.

    It also leaves its parent's process group, so that a Ctrl-C in the terminal reaches only the
    generator, which then ends its engine in order.
    """
    parent = multiprocessing.parent_process()
    if parent is None or os.getpid() in _guarded:
        return
    _guarded.add(os.getpid())
    os.setpgid(0, 0)
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True, name="orphan-guard").start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    # SIGKILL: nobody is left to wait for a tidy end, and a busy interpreter could ignore less.
    os.kill(os.getpid(), signal.SIGKILL)
