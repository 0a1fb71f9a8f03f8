"""Live events as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from redis.exceptions import RedisError

from services.gateway.context import Gateway, GatewayDependency
from vapo.ledger.entry_ids import is_position
from vapo.service import USER, require
from vapo.service.problem_details import Problem

router = APIRouter(tags=["events"], dependencies=[require(USER)])

KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
"""How long a listener waits before it connects again; every frame says so."""


@router.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    gateway: GatewayDependency, after: str | None = None, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Metrics, weights, evaluations, control as they happen; resumes after `Last-Event-ID`.

    `after=0` begins with the oldest event kept.
    """
    start = last_event_id or after
    if start is not None and not is_position(start):
        raise Problem(422, f"event id {start!r} is not of the form 1700000000000-0")
    if start is None:
        start = await asyncio.to_thread(gateway.ledger.journal.newest_event)
    return StreamingResponse(
        _stream(gateway, start),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(gateway: Gateway, last: str) -> AsyncIterator[str]:
    # An id alone tells no event, only where to resume.
    yield f": connected\nretry: {RETRY_MILLISECONDS}\nid: {last}\n\n"
    with gateway.events.listen() as something_new:
        while not gateway.events.stopping.is_set():
            something_new.clear()
            found = await _read(gateway, last)
            for last, kind, data in found:
                yield _frame(last, kind, data)
            if found:
                continue
            try:
                await asyncio.wait_for(something_new.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"


async def _read(gateway: Gateway, last: str) -> list[tuple[str, str, dict[str, Any]]]:
    try:
        return await asyncio.to_thread(gateway.ledger.journal.events, last, 0.0)
    except RedisError:
        return []  # the feed reports it, and wakes us when Redis is back


def _frame(event_id: str, kind: str, data: dict[str, Any]) -> str:
    return f"id: {event_id}\nretry: {RETRY_MILLISECONDS}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
