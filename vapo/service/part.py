"""What a part of the platform is to the process that serves it, and the HTTP app made of it.

Invariants:
- a part works between :meth:`Part.start` and :meth:`Part.stop`, and is in the fleet for as long;
- it has left the fleet before it lets go of what it serves with (:meth:`Part.close`).
"""

from __future__ import annotations

import os
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from vapo.ledger.fleet import Member
from vapo.ledger.run_watch import RunWatch
from vapo.service.app import DEFAULT_BODY_LIMIT, create_app
from vapo.service.heartbeat import Heartbeat
from vapo.service.server import bound_url
from vapo.settings import Settings
from vapo.telemetry import MappingCollector, new_registry


@dataclass(frozen=True)
class Endpoint:
    """One part as the others know it: what it is, its name in the fleet, and where it listens."""

    part: str
    """What it is: a section of the settings has this name, and its metrics begin with it."""
    name: str
    """Of this process alone."""
    url: str
    """At which the other parts reach it."""

    @classmethod
    def at(cls, listener: socket.socket, part: str, settings: Settings) -> Endpoint:
        """Of a part that listens there, under a name no other process of the fleet has."""
        name = f"{part}-{socket.gethostname()[:24]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        return cls(part, name, bound_url(listener, settings.network.advertise_host))

    def member(
        self, state: str, version: int | None = None, details: Mapping[str, Any] | None = None, reason: str = ""
    ) -> Member:
        """Its entry in the fleet."""
        return Member(self.name, self.part, self.url, state, version, dict(details or {}), reason=reason)


class Part(ABC):
    """What runs in one process beside its HTTP app."""

    body_limit: int = DEFAULT_BODY_LIMIT
    """Bytes of a request's body."""
    body_limits: Mapping[str, int] = {}
    """The same for single paths."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, watch: RunWatch, metrics: CollectorRegistry | None = None
    ) -> None:
        """``watch`` is the part's look at its run; ``metrics`` holds what :meth:`numbers` cannot tell."""
        self.settings, self.endpoint, self.watch = settings, endpoint, watch
        self.metrics = metrics or new_registry()

    @abstractmethod
    def member(self) -> Member:
        """Its entry in the fleet, as it is now."""

    def numbers(self) -> Mapping[str, Any]:
        """Gauges ``vapo_{part}_{name}`` of ``/metrics``, read on each scrape."""
        return {}

    def unready_reason(self) -> str | None:
        """Why it should get no traffic now, or None. By default what Redis has against the run."""
        return self.watch.reason()

    def start(self) -> Awaitable[None] | None:
        """Begin the work; called in the server's event loop, before the first request."""
        return None

    def stop(self) -> Awaitable[None] | None:
        """End the work; called there after the last request."""
        return None

    def close(self) -> None:
        """Let go of what the work was done with; the part has left the fleet."""
        return

    def exit_status(self) -> int:
        """Of the process, once the server has ended."""
        return os.EX_OK


AnyPart = TypeVar("AnyPart", bound=Part)
AddRoutes = Callable[[FastAPI, AnyPart], None]
"""Gives an app the routes of a part."""


def app_of(part: AnyPart, add_routes: AddRoutes[AnyPart], in_fleet: bool = True) -> FastAPI:
    """The app of ``part``, which starts and ends with it; ``in_fleet``: and is seen there meanwhile."""
    heartbeat = Heartbeat(part.watch, part.member, part.settings.ledger.heartbeat_seconds) if in_fleet else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await _done(part.start())
        if heartbeat:
            heartbeat.start()
        try:
            yield
        finally:
            await _done(part.stop())
            if heartbeat:
                await to_thread.run_sync(heartbeat.stop)
            part.close()

    name = part.endpoint.part
    part.metrics.register(MappingCollector(f"vapo_{name}", name.capitalize(), part.numbers))
    app = create_app(
        name, part.settings, part.unready_reason, part.metrics, part.body_limit, part.body_limits, lifespan
    )
    add_routes(app, part)
    return app


async def _done(work: Awaitable[None] | None) -> None:
    if work is not None:
        await work
