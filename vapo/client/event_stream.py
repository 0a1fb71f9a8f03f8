"""Reading server-sent events (WHATWG HTML, section 9.2), across interruptions.

Invariant: no event is lost or told twice while the gateway is away: a reader goes on after the last
id it has seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import httpx

from vapo.client import GatewayClient, GatewayError, explain, unanswered

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Event:
    """One event of a run."""

    id: str
    """Where to resume after it."""
    kind: str
    data: dict[str, Any]


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events of a stream's lines, as they come; comments are skipped.

    An id without data, which only says where to resume, comes as an event without kind.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "id" in fields:
                data = json.loads(fields.get("data", "{}"))
                yield Event(fields["id"], fields.get("event", ""), data)
            fields = {}


def follow(
    client: GatewayClient,
    after: str | None = None,
    patience_seconds: float = 60.0,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Events from now on (or after an id), reconnecting whenever the stream ends, until `ended`
    says so; it is asked at least as often as the gateway says anything.

    Raises:
        GatewayError: the gateway refuses, or was away for longer than the patience.
    """
    last, away_since = after, None
    while not ended():
        try:
            for event in _read_once(client, last, ended):
                last, away_since = event.id, None
                if event.kind:
                    yield event
            away_since = None  # it ended cleanly: the gateway was stopped or restarted
        except httpx.TransportError as error:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > patience_seconds:
                raise unanswered(client.url, error) from None
        time.sleep(RETRY_SECONDS)


def _read_once(client: GatewayClient, last: str | None, ended: Callable[[], bool]) -> Iterator[Event]:
    with client.open_events(last) as response:
        if response.is_error:
            response.read()
            raise GatewayError(explain(response), response.status_code)
        yield from parse_events(takewhile(lambda _: not ended(), response.iter_lines()))
