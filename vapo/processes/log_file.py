"""The log of one process: it neither grows without end nor is flooded; standard library only.

Invariants:
- the newest lines, ``LIMIT_BYTES`` at most, are in FILE, older ones in FILE.1 and FILE.2, and what
  is older still is gone;
- a line that comes again and again, but for the time in it, is written ``REPEATS`` times a minute;
  how many lines were left out stands where they would;
- a disk that is full or gone loses lines and never ends or blocks the process.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 16 * 2**20
OLD_FILES = 2
REPEATS = 20
WINDOW_SECONDS = 60.0
LONGEST_LINE = 2**16
DIFFERENT_LINES = 4096
"""Lines remembered within a window; beyond that a new window begins."""
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d[T ]?|\d\d-\d\d(?= )|\d\d:\d\d:\d\d(?:[.,]\d+)?")


class Flood:
    """Which lines of a stream are worth writing. Pure: times in, lines out."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._began, self._left_out = 0.0, 0

    def admit(self, line: bytes, now: float) -> bytes:
        """What to write for `line`: itself, nothing, or first how many were left out."""
        said = b""
        if now - self._began >= WINDOW_SECONDS or len(self._counts) >= DIFFERENT_LINES:
            said = self.summary()
            self._counts.clear()
            self._began = now
        kind = _STAMP.sub(b"", line)
        self._counts[kind] = seen = self._counts.get(kind, 0) + 1
        if seen > REPEATS and kind.strip():
            self._left_out += 1
            return said
        return said + line

    def summary(self) -> bytes:
        """A line on what was left out since the last summary; empty when nothing was."""
        count, self._left_out = self._left_out, 0
        return b"(%d lines like ones above were left out)\n" % count if count else b""


class LogFile:
    """Takes a process's output in pieces of any size."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._limit, self._clock = path, limit_bytes, clock
        self._flood, self._rest = Flood(), b""
        self._descriptor: int | None = None
        self._lost = 0

    def write(self, piece: bytes) -> None:
        """Take more output; whole lines are in the file when this returns."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        now = self._clock()
        self._append(b"".join(self._flood.admit(line + b"\n", now) for line in lines))

    def close(self) -> None:
        """Write what is left."""
        rest = self._rest + b"\n" if self._rest else b""
        self._append(rest + self._flood.summary())
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, text: bytes) -> None:
        if not text:
            return
        try:
            self._write(self._lost_line() + text)
            self._lost = 0
        except OSError:
            self._lost += len(text)

    def _lost_line(self) -> bytes:
        return b"(%d bytes of this log could not be written)\n" % self._lost if self._lost else b""

    def _write(self, text: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if os.fstat(self._descriptor).st_size + len(text) > self._limit:
            self._rotate()
        while text:
            text = text[os.write(self._descriptor, text) :]

    def _rotate(self) -> None:
        assert self._descriptor is not None  # noqa: S101 - opened by the only caller
        for number in range(OLD_FILES, 0, -1):
            older = self._path if number == 1 else numbered(self._path, number - 1)
            if older.exists():
                older.replace(numbered(self._path, number))
        os.close(self._descriptor)
        self._descriptor = None
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def numbered(path: Path, number: int) -> Path:
    """The name of an older file of a log."""
    return path.with_name(f"{path.name}.{number}")
