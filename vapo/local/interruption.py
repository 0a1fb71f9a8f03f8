"""SIGTERM and a closed terminal end a command the way Ctrl-C does: with everything stopped.

Invariant: a SIGHUP that was ignored when the command began, as under nohup, stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Within the context SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    handled = (signal.SIGTERM,) if ignored else (signal.SIGTERM, signal.SIGHUP)
    previous = {one: signal.signal(one, interrupt) for one in handled}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
