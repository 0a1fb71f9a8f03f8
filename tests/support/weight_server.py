"""A process that serves published weights as the trainer does, to be killed and started again.

python -m tests.support.weight_server --config FILE --set trainer.port=PORT
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

from vapo.local.ports import free_ports
from vapo.local.supervision.readiness import Awaited, wait_ready
from vapo.service import bind, create_app, parse_arguments, serve
from vapo.settings import Settings, dump_settings
from vapo.telemetry import MappingCollector, new_registry
from vapo.weights import ACTOR, CRITIC, Manifest, write_version
from vapo.weights.file_response import ServedBytes
from vapo.weights.serving import weights_router

START_SECONDS = 60.0


class WeightServer:
    """The process, what it published, and what it served.

    Args:
        prefix: words before the command, e.g. to run it in a network namespace.
    """

    def __init__(self, folder: Path, settings: Settings, prefix: Sequence[str] = (), host: str = "127.0.0.1") -> None:
        self.directory = settings.run.weights_directory
        self._prefix, self._host, self.port = prefix, host, free_ports(1)[0]
        self._config, self._log = folder / "server.json", folder / "server.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(json.dumps(dump_settings(settings, reveal_secrets=True)))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self._host}:{self.port}"

    def publish(self, version: int, actor_bytes: int, critic_bytes: int = 1000) -> Manifest:
        """Write random bytes as a version."""
        random = np.random.default_rng(version)
        return write_version(
            self.directory,
            version,
            version,
            {
                ACTOR: lambda path: path.write_bytes(random.bytes(actor_bytes)),
                CRITIC: lambda path: path.write_bytes(random.bytes(critic_bytes)),
            },
        )

    def launch(self) -> None:
        """Start the process without waiting."""
        words = [
            *self._prefix,
            sys.executable,
            "-m",
            __name__,
            "--config",
            str(self._config),
            "--set",
            f"trainer.port={self.port}",
            "--set",
            f"trainer.host={self._host}",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.launch()
        wait_ready({"weight server": Awaited(self.url, START_SECONDS)}, self._check)

    def _check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-2000:]

    def wait_logged(self, text: str) -> None:
        """Wait until its log says so; for a server that cannot be reached from here."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self._log.read_text():
            self._check()
            assert time.monotonic() < deadline, f"the server did not say {text!r}"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def served(self) -> int:
        """Bytes of files it has sent since it was started last."""
        return served_bytes(self.url, "vapo_weights")


def served_bytes(url: str, prefix: str, name: str = "bytes_served") -> int:
    """One counter of a part's ``/metrics``."""
    found = re.search(rf"^{prefix}_{name} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    assert found, f"{url} has no {prefix}_{name}"
    return int(float(found[1]))


def main() -> None:
    """Serve the folder of published weights until killed."""
    settings = parse_arguments(__name__)
    served, registry = ServedBytes(), new_registry()
    registry.register(MappingCollector("vapo_weights", "", lambda: {"bytes_served": served.total}))
    app = create_app("weight server", settings, lambda: None, registry)
    app.include_router(
        weights_router(settings.run.weights_directory, settings.weights.serve_limit_bytes_per_second, served)
    )
    listener = bind(settings.trainer.host, settings.trainer.port)
    print("serving", flush=True)
    serve(app, listener)


if __name__ == "__main__":
    main()
