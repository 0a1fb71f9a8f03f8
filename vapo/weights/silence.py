"""How long a source of weights may be silent before who fetches gives up.

Invariant: what passes by itself (a cut, an unreachable host, a 503) is asked for again after rising
pauses; only silence longer than three stalls ends a fetch.
"""

from __future__ import annotations

import logging
import threading
import time

from vapo.weights.errors import SourceUnavailableError

logger = logging.getLogger(__name__)

SILENT_STALLS = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


class Silence:
    """Time since the source was heard last, by whichever thread.

    Args:
        stall_seconds: `weights.stall_seconds`.
        halted: ends every pause, and nothing is asked for again.
    """

    def __init__(self, stall_seconds: float, halted: threading.Event) -> None:
        self._limit, self._halted = SILENT_STALLS * stall_seconds, halted
        self.broken()

    def broken(self) -> None:
        """The source was heard just now."""
        self._heard_at = time.monotonic()

    def bear(self, error: SourceUnavailableError, pause: float) -> float:
        """Wait `pause` seconds; returns the next pause.

        Raises:
            SourceUnavailableError: the silence was too long, or the fetch was halted.
        """
        silent = time.monotonic() - self._heard_at
        if silent > self._limit:
            raise SourceUnavailableError(f"no byte for {silent:.0f} s: {error}")
        logger.debug("%s; asked again in %.1f s", error, pause)
        if self._halted.wait(pause):
            raise error
        return min(2 * pause, LONGEST_PAUSE_SECONDS)
