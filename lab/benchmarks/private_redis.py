"""A Redis of a benchmark's own, configured as a run's, on a folder that goes away."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.local.private_redis import prepare, process_spec, wait_ready
from vapo.local.supervision.supervisor import Supervisor
from vapo.settings import RedisSettings


@contextmanager
def private_redis() -> Iterator[RedisSettings]:
    """How to reach it, while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="vapo-benchmark-") as name:
        folder = Path(name)
        server = prepare(folder / "redis")
        supervisor = Supervisor(print)
        supervisor.start([process_spec(server, folder / "redis.log", folder / "redis.pid")])
        try:
            wait_ready(server)
            yield server.settings
        finally:
            supervisor.stop()
