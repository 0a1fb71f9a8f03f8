"""A TCP relay that holds every byte back for a while: a network between two hosts, on loopback.

Delay only, no limit on bandwidth: what it shows is the price of round trips.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 1 << 20


@contextmanager
def slow_link(port: int, round_trip_seconds: float) -> Iterator[int]:
    """A port on loopback that leads to ``port`` on loopback, half the time later each way."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    relay = _Relay(port, round_trip_seconds / 2)
    thread = threading.Thread(target=_serve, args=(loop, relay, started), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the relay did not start within 10 s")
    try:
        yield relay.own_port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


class _Relay:
    def __init__(self, port: int, delay: float) -> None:
        self._port, self._delay, self.own_port = port, delay, 0

    async def listen(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
        self.own_port = server.sockets[0].getsockname()[1]

    async def _accept(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far, far_out = await asyncio.open_connection("127.0.0.1", self._port, limit=CHUNK_BYTES)
        await asyncio.gather(self._forward(near, far_out), self._forward(far, near_out))

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while chunk := await source.read(CHUNK_BYTES):
            loop.call_later(self._delay, sink.write, chunk)
        loop.call_later(self._delay, sink.close)


def _serve(loop: asyncio.AbstractEventLoop, relay: _Relay, started: threading.Event) -> None:
    loop.run_until_complete(relay.listen())
    started.set()
    loop.run_forever()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
