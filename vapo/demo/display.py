"""Progress on a terminal (a table that is redrawn) or in a file (one line now and then)."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vapo.demo.progress import Snapshot, fields, line

LINE_EVERY_SECONDS = 5.0


class Display(Protocol):
    """Where progress goes; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run is."""

    def say(self, text: str) -> None:
        """Print a line that stays."""


class LineDisplay:
    """One line every few seconds, and at once when the phase changes."""

    def __init__(self) -> None:
        self._phase, self._at = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Print a line when one is due."""
        now = time.monotonic()
        if snapshot.phase != self._phase or now - self._at >= LINE_EVERY_SECONDS:
            self._phase, self._at = snapshot.phase, now
            self.say(line(snapshot))

    def say(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)


class TableDisplay:
    """A table that is redrawn in place."""

    def __init__(self) -> None:
        self._live = Live(console=Console(highlight=False), refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the table."""
        table = Table(show_header=False, title="VAPO demo", title_justify="left")
        for label, text in fields(snapshot):
            table.add_row(label, text)
        self._live.update(table)

    def say(self, text: str) -> None:
        """Print it above the table."""
        self._live.console.print(text, markup=False)


def choose_display() -> Display:
    """A table when a person watches a terminal that can redraw, else lines."""
    watched = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return TableDisplay() if watched and not os.environ.get("CI") else LineDisplay()
