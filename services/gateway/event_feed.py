"""One reader of the run's events that wakes all listeners.

Invariant: a listener reads from Redis itself, after the last id it has seen, and is registered
before it reads; so nothing is lost between a wake-up and the next. The feed only says "look again".
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vapo.ledger import Ledger
from vapo.ledger.patience import BLOCK_SECONDS
from vapo.ledger.patient_loop import PatientLoop

Listener = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class EventFeed:
    """Waits for events in a thread of its own and wakes coroutines."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.stopping = threading.Event()
        """Set when the server begins to shut down: listeners end."""
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._last = ""
        self._loop = PatientLoop("events", self._look, ledger.watch.failed, "events wait")

    def start(self) -> None:
        """Begin to listen."""
        self._loop.start()

    def stop(self) -> None:
        """Wake everyone for the last time."""
        self.stopping.set()
        self._loop.stop()
        self._loop.join(10)
        self._wake_all()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set whenever there may be something new."""
        listener = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener[1]
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _look(self) -> float:
        journal = self._ledger.journal
        self._last = self._last or journal.newest_event()
        events = journal.events(self._last, BLOCK_SECONDS)
        if events:
            self._last = events[-1][0]
        if events or self.stopping.is_set():
            self._wake_all()
        return 0.0

    def _wake_all(self) -> None:
        with self._lock:
            for loop, event in self._listeners:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)
