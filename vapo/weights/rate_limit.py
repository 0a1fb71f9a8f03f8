"""A token bucket that says how long to wait.

Invariant: of the bytes reserved, those whose wait is over by any time t after the start are at most
``burst + rate * t``; and a reservation never waits longer than what was reserved before it needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 0.1
SLICES_PER_SECOND = 20
LEAST_SLICE_BYTES = 4 << 10
MOST_SLICE_BYTES = 1 << 20


class TokenBucket:
    """Bytes per second shared by all threads and requests that reserve from it.

    Args:
        rate: bytes per second; None: no limit, nothing ever waits.
        clock: seconds, never going back.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self.burst = rate * BURST_SECONDS if rate else 0.0
        self._tokens, self._filled_at = self.burst, clock()
        self._lock = threading.Lock()

    def reserve(self, count: int) -> float:
        """Take ``count`` bytes; returns the seconds to wait before they may be used."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            earned = (now - self._filled_at) * self._rate
            self._tokens, self._filled_at = min(self.burst, self._tokens + earned), now
            self._tokens -= count
            return max(0.0, -self._tokens / self._rate)

    @property
    def slice_bytes(self) -> int:
        """Bytes to move at a time, small enough that a limited stream never seems to stall."""
        if not self._rate:
            return MOST_SLICE_BYTES
        return int(min(MOST_SLICE_BYTES, max(LEAST_SLICE_BYTES, self._rate / SLICES_PER_SECOND)))
