"""A real Redis for tests: started from the same binary and configuration as a run's own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from vapo.ledger.connection import connect
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
        """SIGKILL, as a crash would end it, once all that it has answered for is in its file.

        While the disk is busy a Redis that syncs each second puts off the writing by up to two seconds.
        """
        if self._process is not None and self._process.poll() is None:
            with connect(self.settings) as client:
                while client.info("persistence").get("aof_buffer_length"):  # absent without such a file
                    time.sleep(0.01)
        self.stop()

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
