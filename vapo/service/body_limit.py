"""A limit for the bodies of requests.

Invariant: a body beyond its limit is refused while it is read, never held whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vapo.service.problem_details import problem_response


class BodyLimit:
    """ASGI middleware that answers 413 as soon as a body exceeds its limit."""

    def __init__(self, app: ASGIApp, limit: int, exceptions: Mapping[str, int] = MappingProxyType({})) -> None:
        self.app, self.limit, self.exceptions = app, limit, exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.exceptions.get(scope["path"], self.limit)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await self._refuse(limit, scope["path"])(scope, receive, send)
            return
        await self._counted(limit, scope, receive, send)

    async def _counted(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # Any other exception FastAPI would answer with "error parsing the body", 400.
                raise HTTPException(413, self._detail(limit))
            return message

        await self.app(scope, counting, send)

    def _detail(self, limit: int) -> str:
        return f"the body is larger than {limit} bytes; send it in parts"

    def _refuse(self, limit: int, path: str) -> Response:
        return problem_response(413, self._detail(limit), path=path)
