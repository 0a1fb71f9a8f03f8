"""One guarded process: start it, ask after it, stop it.

Invariant: when the process that made a `ManagedProcess` dies, whatever way, what it started dies
too (`vapo.processes.guard`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run. `environment` is the whole environment, not an addition to this process's."""

    name: str
    command: tuple[str, ...]
    log_file: Path
    pid_file: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    grace_seconds: float = 10.0
    """How long the command may take to end after SIGTERM before it is killed."""
    may_finish: bool = False
    """Whether exit status 0 is its proper end, after which it is not started again."""


class ManagedProcess:
    """A running `ProcessSpec`. Its output is appended to the spec's log file."""

    def __init__(self, spec: ProcessSpec) -> None:
        """Start it.

        Raises:
            OSError: the log file cannot be written or the interpreter cannot be started.
        """
        self.spec = spec
        spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        spec.pid_file.parent.mkdir(parents=True, exist_ok=True)
        spec.pid_file.unlink(missing_ok=True)
        with spec.log_file.open("ab") as log:
            self._guard = subprocess.Popen(
                guarded(spec),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(spec.environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """Process id of the command itself; None until the guard has started it."""
        try:
            return int(self.spec.pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def exit_status(self) -> int | None:
        """None while it runs, else its exit status (128 + signal number when a signal ended it)."""
        status = self._guard.poll()
        if status is None:
            return None
        if status < 0:
            self._finish_a_killed_guards_work()
        self._close_owner_pipe()
        return status if status >= 0 else 128 - status

    def request_stop(self) -> None:
        """Ask for a clean end; the guard kills after the grace period. Returns at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and all its descendants. Returns at once."""
        self._signal(signal.SIGINT)

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None when it still runs after `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(seconds)
        return self.exit_status()

    def stop(self) -> int:
        """Clean end, or SIGKILL after the grace period; returns the exit status."""
        self.request_stop()
        status = self.wait(self.spec.grace_seconds + REAP_SECONDS)
        if status is None:
            self._guard.kill()
            self._guard.wait()
            status = self.exit_status()
        return status if status is not None else 128 + signal.SIGKILL

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return tail(self.spec.log_file, lines)

    def _signal(self, number: int) -> None:
        if self._guard.poll() is None:
            self._guard.send_signal(number)

    def _finish_a_killed_guards_work(self) -> None:
        group = self.pid
        if group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
            self.spec.pid_file.unlink(missing_ok=True)

    def _close_owner_pipe(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()


def guarded(spec: ProcessSpec) -> list[str]:
    """The command line of the guard around `spec`'s command."""
    # -S: the guard needs no installed package, and starts in a few milliseconds without looking for
    # them.
    options = ["--grace", str(spec.grace_seconds), "--pid-file", str(spec.pid_file)]
    return [sys.executable, "-S", str(GUARD), *options, "--", *spec.command]


def tail(file: Path, lines: int) -> str:
    """The last `lines` lines of a text file; empty when there is no such file."""
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            return "".join(deque(text, maxlen=lines)).rstrip()
    except OSError:
        return ""
