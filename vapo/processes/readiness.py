"""Waiting until parts answer `/readyz`, with a named deadline and the reason while they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx

POLL_SECONDS = 0.2


class NotReadyError(RuntimeError):
    """A part did not become ready in time; the text names it, its deadline and its last answer."""


def wait_ready(
    urls: Mapping[str, str], deadline_seconds: float, check: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Return once every part is ready, with the seconds each took.

    Args:
        urls: base URL by part.
        check: called between polls; raises to give up early (a part that was given up).

    Raises:
        NotReadyError: some part is not ready within the deadline.
    """
    started = time.monotonic()
    took: dict[str, float] = {}
    answers: dict[str, str] = {}
    with httpx.Client(timeout=2.0) as client:
        while len(took) < len(urls):
            check()
            for part in urls.keys() - took.keys():
                answers[part] = not_ready_because(client, urls[part])
                if not answers[part]:
                    took[part] = time.monotonic() - started
            if time.monotonic() - started > deadline_seconds and len(took) < len(urls):
                raise NotReadyError(overdue(urls.keys() - took.keys(), answers, deadline_seconds))
            time.sleep(0.0 if len(took) == len(urls) else POLL_SECONDS)
    return took


def not_ready_because(client: httpx.Client, url: str) -> str:
    """Empty when the part at `url` is ready, else why not."""
    try:
        answer = client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    if answer.status_code == httpx.codes.OK:
        return ""
    try:
        return str(answer.json().get("detail", f"HTTP {answer.status_code}"))
    except ValueError:
        return f"HTTP {answer.status_code}"


def overdue(parts: set[str], answers: Mapping[str, str], deadline_seconds: float) -> str:
    """The message of a missed deadline."""
    reasons = "; ".join(f"{part}: {answers[part]}" for part in sorted(parts))
    return f"not ready within {deadline_seconds:.0f} s: {reasons}"
