"""Parts as real processes, for tests: started with settings, waited for, and stopped."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from vapo.local.environment import part_environment
from vapo.local.ports import free_ports
from vapo.local.supervision.managed_process import ManagedProcess, ProcessSpec
from vapo.local.supervision.readiness import Awaited, wait_ready
from vapo.settings import Settings, dump_settings

START_SECONDS, GRACE_SECONDS = 240.0, 60.0
"""On a busy machine an engine takes its time to start, a trainer to finish a step and to write its checkpoint."""


@dataclass(frozen=True, slots=True)
class Part:
    """One running part: its process and its address."""

    process: ManagedProcess
    url: str


class Parts:
    """The parts one test has started."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "settings.json"
        self._started: list[ManagedProcess] = []
        folder.mkdir(parents=True)
        self._config.write_text(json.dumps(dump_settings(settings, reveal_secrets=True)))

    def start(self, module: str, *assignments: str, deadline_seconds: float = START_SECONDS) -> Part:
        """Run `python -m module` on a free port and return once it is ready.

        Args:
            assignments: overrides such as `"value.token_budget=64"`.
        """
        part = self.launch(module, *assignments)
        awaited = {module: Awaited(part.url, deadline_seconds)}
        wait_ready(awaited, lambda: assert_running(part.process))
        return part

    def launch(self, module: str, *assignments: str) -> Part:
        """Run `python -m module` on a free port without waiting."""
        section, port = module.rpartition(".")[2], free_ports(1)[0]
        name = f"{section}-{len(self._started)}"
        sets = [f"{section}.port={port}", *assignments]
        command = [sys.executable, "-m", module, "--config", str(self._config)]
        command += [word for one in sets for word in ("--set", one)]
        log_file, pid_file = self._folder / f"{name}.log", self._folder / f"{name}.pid"
        environment = part_environment(os.environ, on_gpu=False)
        process = ManagedProcess(ProcessSpec(name, tuple(command), log_file, pid_file, environment, GRACE_SECONDS))
        self._started.append(process)
        return Part(process, f"http://127.0.0.1:{port}")

    def stop(self) -> None:
        """Stop all that still run."""
        for process in self._started:
            process.request_stop()
        for process in self._started:
            process.stop()


def assert_running(process: ManagedProcess) -> None:
    """Fail with the end of its log when the process has ended."""
    status = process.exit_status()
    assert status is None, f"{process.spec.name} ended with status {status}:\n{process.log_tail(40)}"
