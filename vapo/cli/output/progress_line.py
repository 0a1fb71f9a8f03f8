"""One line on stderr about what a command waits for, so that no wait is silent.

Invariants: on a terminal the line is rewritten in place and erased at the end; elsewhere plain
lines are written, seldom. A wait that is over soon shows nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_SECONDS = 1.0
"""A wait shorter than this is not worth a line."""
PLAIN_SECONDS = 15.0
"""Between two plain lines."""
TICK_SECONDS = 0.25
NARROW = 80
"""Columns of a terminal that does not say how many it has."""
ERASE = "\r\x1b[K"


class ProgressLine:
    """A line about the wait in hand; use as a context manager."""

    def __init__(
        self,
        out: TextIO | None = None,
        quiet_seconds: float = QUIET_SECONDS,
        plain_seconds: float = PLAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out or sys.stderr
        self._rewrites = self._out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._quiet, self._plain, self._clock = quiet_seconds, plain_seconds, clock
        self._lock = threading.RLock()
        self._what: str | None = None
        self._since = 0.0
        self._written_at: float | None = None
        self._drawn = False
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> ProgressLine:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._ticker.join()
        self.erase()

    def begin(self, what: str) -> None:
        """A wait for `what` begins."""
        with self._lock:
            self._what, self._since = what, self._clock()

    def say(self, what: str) -> None:
        """What the wait in hand is for has become clearer."""
        with self._lock:
            self._what = what

    def end(self) -> None:
        """The wait is over."""
        with self._lock:
            self._what = None

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Tell of a wait for `what` while the context lasts."""
        self.begin(what)
        try:
            yield
        finally:
            self.end()
            self.erase()

    def show(self, text: str) -> None:
        """A count that moves: at once on a terminal, elsewhere now and then."""
        with self._lock:
            self._draw(text)

    def erase(self) -> None:
        """Take the line away, before something else is printed."""
        with self._lock:
            if self._drawn:
                self._write(ERASE)
                self._drawn = False

    def _tick(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            with self._lock:
                elapsed = self._clock() - self._since
                if self._what is not None and elapsed >= self._quiet:
                    self._draw(f"{self._what} ({elapsed:.0f} s)")

    def _draw(self, text: str) -> None:
        if self._rewrites:
            self._write(f"{ERASE}{text[: self._width() - 1]}")
            self._drawn = True
        elif self._written_at is None or self._clock() - self._written_at >= self._plain:
            self._write(f"{text}\n")
            self._written_at = self._clock()

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # broken or closed: the work goes on without the line
            self._closed.set()

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or NARROW
        except (OSError, ValueError):
            return NARROW
