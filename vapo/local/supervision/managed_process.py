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
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vapo.local.supervision.log_reason import reason
from vapo.processes.log_file import numbered

INSTALLED_IN = Path(__file__).resolve().parents[3]
GUARD = "import sys; sys.path.append(sys.argv.pop(1)); from vapo.processes.guard import main; sys.exit(main())"
LINES_OF_REASON = 400
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
    """A running `ProcessSpec`. Its output is appended to the spec's log file, which the guard
    keeps within bounds (`vapo.processes.log_file`).
    """

    def __init__(self, spec: ProcessSpec) -> None:
        """Start it.

        Raises:
            OSError: the log file cannot be written or the interpreter cannot be started.
        """
        self.spec = spec
        spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        spec.pid_file.parent.mkdir(parents=True, exist_ok=True)
        spec.pid_file.unlink(missing_ok=True)
        self.started_at = time.monotonic()
        with spec.log_file.open("ab") as log:
            self._log_began = position(spec.log_file)
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
        if self._guard.stdin is not None:
            self._guard.stdin.close()
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

    def reason(self) -> str:
        """What its log says about its end; empty when it has said nothing."""
        return reason(lines_since(self.spec.log_file, self._log_began)[-LINES_OF_REASON:])

    def _signal(self, number: int) -> None:
        if self._guard.poll() is None:
            self._guard.send_signal(number)

    def _finish_a_killed_guards_work(self) -> None:
        group = self.pid
        if group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
            self.spec.pid_file.unlink(missing_ok=True)


def guarded(spec: ProcessSpec) -> list[str]:
    """The command line of the guard around `spec`'s command."""
    # -I -S: the guard needs no installed package, starts in a few milliseconds without looking for
    # them, and takes nothing from the environment, which is the command's.
    options = ["--grace", str(spec.grace_seconds), "--pid-file", str(spec.pid_file)]
    options += ["--log", str(spec.log_file)]
    start = [sys.executable, "-I", "-S", "-c", GUARD, str(INSTALLED_IN)]
    return [*start, *options, "--", *spec.command]


def tail(file: Path, lines: int) -> str:
    """The last `lines` lines of a log; empty when there is no such file."""
    texts = [read_from(one) for one in (numbered(file, 1), file)]
    return "\n".join("".join(texts).splitlines()[-lines:]).rstrip()


def position(file: Path) -> tuple[int, int]:
    """Where a log ends: which file it is, and its length in bytes."""
    status = file.stat()
    return status.st_ino, status.st_size


def lines_since(file: Path, began: tuple[int, int]) -> list[str]:
    """What was appended to a log since a `position`; where it was begun anew, all there is."""
    try:
        same = file.stat().st_ino == began[0]
    except OSError:
        return []
    return read_from(file, began[1] if same else 0).splitlines()


def read_from(file: Path, offset: int = 0) -> str:
    """The text of a log from an offset on, its last megabyte at most; empty when there is none."""
    try:
        with file.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(offset, end - 2**20))
            return log.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
