"""A log that a repeating fault does not flood.

Invariant: a fault is told when it begins, at most once a minute while it lasts, and when it is
over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

REPEAT_SECONDS = 60.0


class QuietLog:
    """Tells of one condition that comes and goes. Thread-safe."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._lock = threading.Lock()
        self._state, self._since, self._told = "", 0.0, 0.0

    def warn(self, state: str, text: str) -> None:
        """The condition is ``state`` (not empty), which ``text`` describes."""
        with self._lock:
            now = self._clock()
            new = state != self._state
            if not new and now - self._told < REPEAT_SECONDS:
                return
            self._since = now if new else self._since
            self._state, self._told = state, now
            lasting = "" if new else f" (for {now - self._since:.0f} s)"
        self._logger.warning("%s%s", text, lasting)

    def clear(self, text: str) -> None:
        """The condition is over; says so once."""
        with self._lock:
            if not self._state:
                return
            self._state = ""
        self._logger.info("%s", text)
