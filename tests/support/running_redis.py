"""A real Redis for tests: started from the same binary and configuration as a run's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vapo.local.private_redis import PrivateRedis, find_binary, prepare, wait_ready
from vapo.settings import RedisSettings


class RunningRedis:
    """A server process that a test may kill and start again on the same data."""

    def __init__(self, directory: Path) -> None:
        self._server: PrivateRedis = prepare(directory)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        """How a part connects to it."""
        return self._server.settings

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen([find_binary(), self._server.config_file], stdout=subprocess.DEVNULL)
        wait_ready(self._server)

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    stop = kill
