"""Whether a process still runs, for tests that nothing is left."""

from __future__ import annotations

import psutil


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and only waits for init to collect it does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
