"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.01


def wait_until(done: Callable[[], object], seconds: float = 60.0, what: str = "it") -> None:
    """Return once ``done()`` is true; after ``seconds`` the test fails, and ``what`` says on what."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)
