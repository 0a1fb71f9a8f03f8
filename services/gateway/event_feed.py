"""One reader of the run's events that wakes all listeners.

Invariant: a listener reads from Redis itself, after the last id it has seen, and is registered
before it reads; so nothing is lost between a wake-up and the next. The feed only says "look again".
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from vapo.ledger import Ledger

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 0.5
Listener = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class EventFeed:
    """Waits for events in a thread of its own and wakes coroutines."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.stopping = threading.Event()
        """Set when the server begins to shut down: listeners end."""
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Wake everyone for the last time."""
        self.stopping.set()
        self._closed.set()
        self._thread.join(timeout=10)
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

    def _run(self) -> None:
        last = ""
        while not self._closed.is_set():
            try:
                last = last or self._ledger.journal.newest_event()
                events = self._ledger.journal.events(last, BLOCK_SECONDS)
            except RedisError as error:
                self._ledger.watch.failed("events wait", error)
                self._closed.wait(BLOCK_SECONDS)
                continue
            if events:
                last = events[-1][0]
            if events or self.stopping.is_set():
                self._wake_all()

    def _wake_all(self) -> None:
        with self._lock:
            for loop, event in self._listeners:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)
