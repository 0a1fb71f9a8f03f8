"""Passing a chat request on to a generator, streaming its answer back.

Invariants: READY generators are asked in turn, then those that load new weights, where a request
waits for the moment this takes; one that cannot be reached or has no room is skipped for the next;
once an answer has begun it is passed through as it comes. Every wait has a deadline.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import AsyncIterator, Sequence

import httpx
from fastapi.responses import Response, StreamingResponse

from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.service import service_headers
from vapo.service.http_clients import async_http_client
from vapo.service.openai_errors import error_object
from vapo.service.problem_details import Problem
from vapo.settings import Settings

logger = logging.getLogger(__name__)

PASSED_HEADERS = ("content-type", "retry-after")
DEADLINES = httpx.Timeout(connect=3.0, write=30.0, read=300.0, pool=10.0)
"""Seconds; ``read`` is the longest silence of a generator."""
ANSWERING = ("READY", "LOADING")
"""States of generators that take requests."""
NO_ROOM = (429, 503)
"""Answers of a generator that another may not give."""


class ChatProxy:
    """Chooses generators round robin."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._turn = itertools.count()
        self._client = async_http_client(timeout=DEADLINES, headers=service_headers(settings))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    def targets(self) -> list[str]:
        """URLs of the generators to try, in order. Raises Problem 503 when there is none."""
        if self._settings.gateway.generator_url:
            return [self._settings.gateway.generator_url.rstrip("/")]
        urls = in_turn(self._ledger.fleet.members("generator"), next(self._turn))
        if not urls:
            raise Problem(503, "no generator is READY; GET /v1/fleet shows the parts", {"Retry-After": "5"})
        return urls

    async def pass_on(self, urls: Sequence[str], path: str, body: bytes) -> Response:
        """The answer of the first generator that has room; if none has, what the last one says.
        Raises Problem 502 or 504.
        """
        problem: httpx.HTTPError | None = None
        refusal: httpx.Response | None = None
        for url in urls:
            request = self._client.build_request(
                "POST", url + path, content=body, headers={"Content-Type": "application/json"}
            )
            try:
                answer = await self._client.send(request, stream=True)
            except httpx.ConnectError as error:
                logger.warning("generator %s cannot be reached: %s", url, error)
                problem = error
            except httpx.TimeoutException as error:
                raise Problem(504, _silent(url, error)) from None
            except httpx.HTTPError as error:
                raise Problem(502, f"the generator at {url} failed: {error!r}") from None
            else:
                if answer.status_code not in NO_ROOM:
                    return StreamingResponse(_chunks(answer), answer.status_code, _headers(answer))
                await answer.aread()
                refusal = answer
        if refusal is None:
            raise Problem(502, f"no generator can be reached: {problem!r}")
        return Response(refusal.content, refusal.status_code, _headers(refusal))


def in_turn(generators: Sequence[Member], turn: int) -> list[str]:
    """URLs of those that answer: the READY ones first, each kind from its ``turn``-th on."""
    urls = []
    for state in ANSWERING:
        alike = [one.url for one in generators if one.state == state]
        first = turn % max(1, len(alike))
        urls += alike[first:] + alike[:first]
    return urls


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in PASSED_HEADERS if name in answer.headers}


def _silent(url: str, error: httpx.TimeoutException) -> str:
    return (
        f"the generator at {url} did not answer in time ({type(error).__name__}; it may be silent "
        f"for {DEADLINES.read:g} s); stream the answer, or ask for fewer tokens at a time"
    )


async def _chunks(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    except httpx.HTTPError as error:
        # The status is long gone: only a stream of events has room to say what happened.
        logger.warning("the answer of %s broke off: %r", answer.url, error)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise
        broken = error_object(502, f"the generator's answer broke off: {error!r}")
        yield f"data: {json.dumps({'error': broken})}\n\n".encode()
    finally:
        await answer.aclose()
