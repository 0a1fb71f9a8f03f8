"""Who goes on while Redis is in trouble: work in a thread, and calls from an event loop.

Invariants:
- every call to the ledger may be sent twice, so work that met trouble is simply done again, after
  :data:`~vapo.ledger.patience.PAUSE_SECONDS`, and for ever: it is for whoever stops it to give up;
- trouble is told by ``tell`` (:meth:`vapo.ledger.run_watch.RunWatch.failed`: once, then once a
  minute, however many threads meet it), never by each that meets it;
- a stop is heard at once between two rounds, and waits for the round in hand.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

from vapo.ledger.patience import FAULT_PAUSE_SECONDS, PAUSE_SECONDS

logger = logging.getLogger(__name__)

Tell = Callable[[str, RedisError], None]
"""Hears which work waits, and why."""
Result = TypeVar("Result")


class PatientLoop:
    """A thread that does one round of work after the other until it is stopped."""

    def __init__(self, name: str, round_: Callable[[], float], tell: Tell, waits: str) -> None:
        """
        Args:
            name: of the thread.
            round_: does the work once; returns the seconds to rest until the next round.
            tell: hears of Redis's trouble; of any other error the log has the traceback.
            waits: what the log says has to wait, such as "housekeeping waits".
        """
        self._round, self._tell, self._waits = round_, tell, waits
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.stopping = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """End the rest before the next round."""
        self._awake.set()

    def stop(self) -> None:
        """Begin no further round."""
        self.stopping.set()
        self.wake()

    def join(self, seconds: float) -> None:
        """Wait that long for the round in hand."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self.stopping.is_set():
            self._awake.wait(self._rest_after_round())
            self._awake.clear()

    def _rest_after_round(self) -> float:
        try:
            return self._round()
        except RedisError as error:
            self._tell(self._waits, error)
            return PAUSE_SECONDS
        except Exception:
            # One record that cannot be read must not end the work for good.
            logger.exception("%s for %g s", self._waits, FAULT_PAUSE_SECONDS)
            return FAULT_PAUSE_SECONDS


async def patiently(tell: Tell, waits: str, call: Callable[..., Result], *arguments: object) -> Result:
    """The result of a call to the ledger, made in a thread, again and again until Redis answers it."""
    while True:
        try:
            return await asyncio.to_thread(call, *arguments)
        except RedisError as error:
            await asyncio.to_thread(tell, waits, error)
            await asyncio.sleep(PAUSE_SECONDS)
