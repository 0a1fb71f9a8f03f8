"""A lock between the processes of one host, on a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.file_lock import NoLocksError, try_lock
from vapo.weights.errors import WeightsError

POLL_SECONDS = 0.05


@contextmanager
def host_lock(path: Path, seconds: float, halted: threading.Event) -> Iterator[None]:
    """Hold ``path`` alone; a process that dies lets go.

    Raises:
        WeightsError: not held within ``seconds`` (weights.deadline_seconds), ``halted`` was set, or
            the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        while not _taken(file.fileno(), path):
            if halted.wait(POLL_SECONDS):
                raise WeightsError("the fetch was given up: this part is stopping")
            if time.monotonic() > deadline:
                raise WeightsError(
                    f"another process has held {path} for {seconds:g} s "
                    "(weights.deadline_seconds); see what it is fetching"
                )
        yield


def _taken(descriptor: int, path: Path) -> bool:
    try:
        return try_lock(descriptor, path)
    except NoLocksError as error:
        raise WeightsError(f"{error} (weights.cache_directory, relay.directory)") from None
