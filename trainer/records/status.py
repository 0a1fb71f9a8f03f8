"""What the trainer is doing and what was asked of it, shared by the loop and the HTTP threads."""

from __future__ import annotations

import threading
from typing import Any

WAIT_SLICE_SECONDS = 0.25


class Requests:
    """What people (over REST), signals and the run's control switches ask the loop to do."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """The signal that asked for the stop; None while none did."""
        self._stop = threading.Event()
        self._checkpoint = threading.Event()
        self._running = threading.Event()
        self._running.set()

    def stop(self, signal: int | None = None) -> None:
        """Finish the step in hand, write a checkpoint, end."""
        self.signal = signal
        self._stop.set()
        self._running.set()

    def checkpoint(self) -> None:
        """Write a checkpoint before the next step."""
        self._checkpoint.set()

    def pause(self) -> None:
        """Take no further step until :meth:`resume`."""
        self._running.clear()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._running.set()

    @property
    def stopping(self) -> bool:
        """Whether the loop is to end."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the loop is to hold."""
        return not self._running.is_set()

    @property
    def checkpoint_wanted(self) -> bool:
        """Whether a checkpoint was asked for and not yet begun."""
        return self._checkpoint.is_set()

    def checkpoint_begun(self) -> None:
        """Later requests want another one."""
        self._checkpoint.clear()

    def wait_while_paused(self) -> None:
        """Returns after a moment, or as soon as the pause ends."""
        self._running.wait(WAIT_SLICE_SECONDS)


class Status:
    """A snapshot of the run's progress."""

    def __init__(self, **fields: Any) -> None:
        self._lock = threading.Lock()
        self._fields: dict[str, Any] = {"phase": "starting", **fields}

    def set(self, **fields: Any) -> None:
        """Change some fields."""
        with self._lock:
            self._fields.update(fields)

    def snapshot(self) -> dict[str, Any]:
        """All fields as they are now."""
        with self._lock:
            return dict(self._fields)
