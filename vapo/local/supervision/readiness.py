"""Waiting until parts answer `/readyz`, with a named deadline and the reason while they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from vapo.service.http_clients import http_client

POLL_SECONDS = 0.2


class NotReadyError(RuntimeError):
    """A part did not become ready in time; the text names it, its deadline and its last answer."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A part that should become ready: its base URL, and within how many seconds."""

    url: str
    deadline_seconds: float


def wait_ready(
    parts: Mapping[str, Awaited],
    check: Callable[[], None] = lambda: None,
    finished: Callable[[str], bool] = lambda name: False,
) -> dict[str, float]:
    """Return once every part is ready or has finished, with the seconds each took.

    Args:
        parts: by name.
        check: called between polls; raises to give up early (a part that was given up).
        finished: whether the part of that name has ended because its work is done.

    Raises:
        NotReadyError: some part missed its deadline.
    """
    started = time.monotonic()
    took: dict[str, float] = {}
    with http_client(timeout=2.0) as client:
        while True:
            check()
            for name in [name for name in parts if name not in took]:
                reason = "" if finished(name) else not_ready_because(client, parts[name].url)
                elapsed = time.monotonic() - started
                if not reason:
                    took[name] = elapsed
                elif elapsed > parts[name].deadline_seconds:
                    limit = f"{parts[name].deadline_seconds:.0f} s"
                    raise NotReadyError(f"{name} was not ready within {limit}: {reason}")
            if len(took) == len(parts):
                return took
            time.sleep(POLL_SECONDS)


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
