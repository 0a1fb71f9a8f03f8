"""Output whose reader may go: a closed terminal or pipe ends the telling, not what is told of.

Invariant: within `lasting_output` writing to standard output and error never raises `OSError`; what
cannot be written is dropped, and the stream leads to nowhere from then on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


class LastingStream:
    """A text stream that survives its reader (EPIPE, EIO) and a full disk (ENOSPC)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop what cannot be written."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what cannot be written."""
        self._do(self._stream.flush)

    def _do(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError:
            lead_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Within the context, standard output and error last."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, LastingStream(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream write to nowhere, what it still holds included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def open_closed_streams() -> None:
    """Let standard streams that were closed before the program began lead nowhere, so that no file
    or socket gets their numbers, and with them what is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the program
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
