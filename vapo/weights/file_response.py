"""A file of weights as an HTTP response: ranges, a strong tag, paced, and never half a lie.

Ranges, If-Range and 416 are starlette's (RFC 9110 section 14). Added here: the file's checksum as
its entity tag, a bandwidth limit over all responses of the process, and a clear answer when the
file was removed between the look and the read.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from vapo.weights.manifest import FileEntry
from vapo.weights.rate_limit import TokenBucket
from vapo.weights.source import etag_of


class ServedBytes:
    """Counts what was sent, over all responses of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self, count: int) -> None:
        """Bytes that were handed to the connection."""
        with self._lock:
            self.total += count


class WeightFileResponse(FileResponse):
    """Serves ``path``, which holds what ``entry`` says.

    Args:
        vanished: the answer when the file is no longer there when it is opened.
    """

    def __init__(
        self, path: Path, entry: FileEntry, limiter: TokenBucket, served: ServedBytes, vanished: Response
    ) -> None:
        super().__init__(
            path, headers={"ETag": etag_of(entry)}, stat_result=path.stat(), media_type="application/octet-stream"
        )
        self.chunk_size = limiter.slice_bytes
        self._limiter, self._served, self._vanished = limiter, served, vanished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the head is held back until the file has been opened and read."""
        sending = _Paced(send, self._limiter, self._served)
        try:
            await super().__call__(scope, receive, sending)
        except FileNotFoundError:
            if sending.started:
                raise
            await self._vanished(scope, receive, send)


class _Paced:
    """Passes a response on, its body no faster than the limit allows."""

    def __init__(self, send: Send, limiter: TokenBucket, served: ServedBytes) -> None:
        self._send, self._limiter, self._served = send, limiter, served
        self._head: Message | None = None
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        size = len(message.get("body", b""))
        await asyncio.sleep(self._limiter.reserve(size))
        if self._head is not None:
            head, self._head, self.started = self._head, None, True
            await self._send(head)
        await self._send(message)
        self._served.add(size)
