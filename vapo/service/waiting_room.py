"""A bounded number of requests waiting in a service.

Invariant: what does not fit is refused at once with 429 and a time to come back, never queued
without bound.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vapo.service.problem_details import Problem

RETRY_AFTER_SECONDS = 1


class WaitingRoom:
    """Counts what waits or is worked on. Thread-safe."""

    def __init__(self, limit: int, setting: str) -> None:
        """``setting`` is the name of the setting that holds ``limit``, for the refusal's text."""
        self._limit, self._setting = limit, setting
        self._lock = threading.Lock()
        self.waiting = 0

    @contextmanager
    def enter(self, count: int) -> Iterator[None]:
        """Hold ``count`` places while the block runs.

        Raises:
            Problem: 413 when ``count`` alone is beyond the limit, 429 when there is no room now.
        """
        if count > self._limit:
            raise Problem(413, f"{count} items; at most {self._limit} ({self._setting})")
        with self._lock:
            if self.waiting + count > self._limit:
                raise Problem(
                    429,
                    f"{self.waiting} items are waiting and {count} more would pass the limit of "
                    f"{self._limit} ({self._setting}); retry later",
                    {"Retry-After": str(RETRY_AFTER_SECONDS)},
                )
            self.waiting += count
        try:
            yield
        finally:
            with self._lock:
                self.waiting -= count
