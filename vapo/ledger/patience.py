"""How long anybody waits for Redis: by the clock, not by the number of tries.

A call is sent again while Redis restarts, loads its data, or fails over; for how long, its caller says
when it connects: ``redis.patience_seconds``, or one of the names below. Work that cannot be given up
goes on after that (:mod:`vapo.ledger.patient_loop`); everything else ends with the error, in words
(:mod:`vapo.ledger.trouble`).

Invariants:
- a call ends within its patience and one timeout (``redis.timeout_seconds``) more, whatever
  redis-py tries inside it: connecting, shaking hands, asking Sentinels;
- a Redis that answers but refuses writes (full, read-only, cannot save) is waited for only by
  calls that say so; every call may be sent twice, so one that was refused may be sent again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from vapo.ledger.trouble import is_refusal

REQUEST_SECONDS = 8.0
"""Of an HTTP request to the gateway, and of a look by a person: then it is answered that Redis is away."""
LOOP_CALL_SECONDS = 2.0
"""Of one call of work that comes back by itself, so that shutting down never waits for a dead Redis."""
LOOK_SECONDS = 4.0
"""Of a look at the run's health, and of the last word of a trainer that has failed."""

FIRST_PAUSE_SECONDS = 0.05
"""Before a call is sent again; each further pause is twice as long, up to :data:`PAUSE_SECONDS`."""
PAUSE_SECONDS = 1.0
"""Before work that met trouble is done again."""
FAULT_PAUSE_SECONDS = 5.0
"""The same after an error that is not Redis's, which will hardly pass so soon."""
BLOCK_SECONDS = 0.5
"""Longest wait in one call for something new in a stream; a stop is heard after it."""

_begun = threading.local()
"""When the outermost call of this thread began; redis-py nests them."""


Seconds = Callable[[], float]
"""Asked anew at each try, so that whoever has to stop can end a wait."""


def no_seconds() -> float:
    """For calls that do not wait."""
    return 0.0


class Patience(Retry):
    """Sends a call again until ``seconds`` have passed; ``refusal_seconds`` for one refused."""

    def __init__(self, seconds: float, refusal_seconds: Seconds = no_seconds) -> None:
        backoff = ExponentialBackoff(cap=PAUSE_SECONDS, base=FIRST_PAUSE_SECONDS)
        super().__init__(backoff, retries=-1)
        self._seconds, self._refusal_seconds = seconds, refusal_seconds

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """The result of ``do``, tried again while there is patience; ``fail`` hears of failures."""
        failures = 0
        with _outermost() as begun:
            while True:
                try:
                    return do()
                except Exception as error:
                    if not self._passes(error) or (is_retryable and not is_retryable(error)):
                        raise
                    failures += 1
                    fail(*((error, failures) if with_failure_count else (error,)))
                    pause = self._backoff.compute(failures)
                    limit = self._refusal_seconds() if is_refusal(error) else self._seconds
                    if time.monotonic() - begun + pause > limit:
                        raise
                    time.sleep(pause)

    def _passes(self, error: Exception) -> bool:
        return isinstance(error, self._supported_errors) or is_refusal(error)


@contextmanager
def _outermost() -> Iterator[float]:
    """The time by the monotonic clock at which the call this one is part of began."""
    known: float | None = getattr(_begun, "at", None)
    if known is not None:
        yield known
        return
    _begun.at = time.monotonic()
    try:
        yield _begun.at
    finally:
        del _begun.at
