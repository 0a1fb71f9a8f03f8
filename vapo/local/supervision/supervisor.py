"""Keeps a set of processes running: restarts what dies, gives up on what keeps dying, stops all at
once.

Invariants:
- a process that dies is reported and started again, at the rate of its `RestartPolicy`; one that
  says that it cannot work as it is configured (status 78, `vapo.startup`) is given up at once;
- what its log says of its end is reported with each death, and how many deaths are left to it;
- one that is given up fails the whole set: all are stopped and `failure` says why, with its last
  log lines;
- a supervisor that cannot go on fails the set, too;
- after `stop` none of them and none of their descendants runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vapo.local.supervision.managed_process import REAP_SECONDS, ManagedProcess, ProcessSpec, tail
from vapo.local.supervision.restarts import RestartPolicy, of_one_cause, recent, restart_delay
from vapo.startup import file_trouble

CHECK_SECONDS = 0.2
LOG_LINES_SHOWN = 20
FULL_BYTES = 2**20
KILLED = {
    128 + signal.SIGKILL: "the kernel does that when memory runs out",
    128 + signal.SIGBUS: "a disk or /dev/shm may be full",
}


@dataclass
class _Supervised:
    spec: ProcessSpec
    process: ManagedProcess | None
    deaths: list[float] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    restart_at: float | None = None


class Supervisor:
    """Supervises processes from a thread of its own."""

    def __init__(self, report: Callable[[str], None], policy: RestartPolicy | None = None) -> None:
        """`report` is told in one line what happened; it is called from the supervisor's thread."""
        self._report, self._policy = report, policy or RestartPolicy()
        self._supervised: dict[str, _Supervised] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.failure: str | None = None
        """Why the set was given up, or None."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="supervisor")

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start all of `specs` and supervise them from now on."""
        with self._lock:
            if self._stopping.is_set():
                return
            for spec in specs:
                self._supervised[spec.name] = _Supervised(spec, ManagedProcess(spec))
        if not self._thread.is_alive():
            self._thread.start()

    def pids(self) -> dict[str, int | None]:
        """Process id of each command by name; None for one that is not running now."""
        with self._lock:
            return {name: one.process.pid if one.process else None for name, one in self._supervised.items()}

    def is_running(self, name: str) -> bool:
        """Whether a process runs or is about to be started again; not once it has finished, nor
        when there is none of that name.
        """
        with self._lock:
            one = self._supervised.get(name)
            return one is not None and (one.process is not None or one.restart_at is not None)

    def restarts(self) -> dict[str, int]:
        """How often each process has died so far, by name."""
        with self._lock:
            return {name: len(one.deaths) for name, one in self._supervised.items()}

    def stop(self, last: Sequence[str] = ()) -> None:
        """Stop all, those named in `last` once the others are gone; a second Ctrl-C kills instead.

        Returns when nothing is left.
        """
        self._stopping.set()
        try:
            self._stop_gently(last)
        except KeyboardInterrupt:
            for process in self._processes():
                process.kill()
            wait_for_all(self._processes())

    def _stop_gently(self, last: Sequence[str]) -> None:
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        running = self._processes()
        stop_together([process for process in running if process.spec.name not in last])
        stop_together([process for process in running if process.spec.name in last])

    def _processes(self) -> list[ManagedProcess]:
        with self._lock:
            return [one.process for one in self._supervised.values() if one.process]

    def _run(self) -> None:
        try:
            while not self._stopping.wait(CHECK_SECONDS):
                with self._lock:
                    for one in self._supervised.values():
                        self._check(one, time.monotonic())
                if self.failure:
                    self.stop()
        except BaseException as error:
            self.failure = self.failure or f"the parts cannot be watched any more: {error!r}"
            raise

    def _check(self, one: _Supervised, now: float) -> None:
        if one.process is not None:
            status = one.process.exit_status()
            if status is not None:
                self._note_death(one, one.process, status, now)
        elif one.restart_at is not None and now >= one.restart_at:
            self._start_again(one)

    def _start_again(self, one: _Supervised) -> None:
        one.restart_at = None
        try:
            one.process = ManagedProcess(one.spec)
        except OSError as error:
            self.failure = f"{one.spec.name} cannot be started again: {file_trouble(error)}"

    def _note_death(self, one: _Supervised, process: ManagedProcess, status: int, now: float) -> None:
        one.process = None
        if status == 0 and one.spec.may_finish:
            self._report(f"{one.spec.name} has finished")
            return
        why = process.reason() if status <= 128 else KILLED.get(status, "")
        one.deaths.append(now)
        sound = now - process.started_at > self._policy.sound_seconds
        one.causes.append("" if sound or not is_fault(status) else why)
        if status == os.EX_CONFIG:
            self.failure = self.failure or misconfigured(one.spec, why)
            return
        delay = restart_delay(self._policy, one.deaths, now)
        alike, often = of_one_cause(one.causes), len(recent(self._policy, one.deaths, now))
        if delay is None or alike >= self._policy.limit:
            within = f"within {self._policy.window_seconds:.0f} s"
            times = f"{often} times {within}" if delay is None else f"{alike} times of one cause"
            self.failure = self.failure or given_up(one.spec, times, status, why)
            return
        one.restart_at = now + delay
        self._report(
            f"{one.spec.name} ended ({describe(status)}){': ' * bool(why)}{why}; starting it again "
            f"in {delay:.2g} s, time {max(alike, often)} of {self._policy.limit} before it is "
            f"given up (log: {one.spec.log_file})"
        )


def stop_together(processes: Sequence[ManagedProcess]) -> None:
    """Ask all to stop, then wait for each; the slowest sets the time."""
    for process in processes:
        process.request_stop()
    wait_for_all(processes)


def wait_for_all(processes: Sequence[ManagedProcess]) -> None:
    """Return when all have ended; the guards see to it that they do within the grace period."""
    longest = max((process.spec.grace_seconds for process in processes), default=0.0)
    deadline = time.monotonic() + longest + REAP_SECONDS
    for process in processes:
        if process.wait(max(0.0, deadline - time.monotonic())) is None:
            process.stop()


def describe(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"


def is_fault(status: int) -> bool:
    """Whether a process ended by its own fault: not killed, nor for want of something else."""
    return status <= 128 and status != os.EX_UNAVAILABLE


def misconfigured(spec: ProcessSpec, why: str) -> str:
    """The message of a set one of whose processes cannot work as it is configured; its first line
    says it all.
    """
    cause = why or tail(spec.log_file, 1).strip()
    return (
        f"{spec.name} cannot work as it is configured: {cause.removeprefix(f'{spec.name}: ')}\n"
        f"Its log is {spec.log_file}"
    )


def given_up(spec: ProcessSpec, times: str, status: int, why: str) -> str:
    """The message of a failed set; its first line says it all."""
    return (
        f"{spec.name} died {times}, last with {describe(status)}{': ' * bool(why)}{why}"
        f"{disk_note(spec.log_file)}\nIts log is {spec.log_file}; the last lines:\n"
        + tail(spec.log_file, LOG_LINES_SHOWN)
    )


def disk_note(file: Path) -> str:
    """Words on the disk of a log that may lack its last lines; empty when there is room."""
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError:
        return f"; {file.parent} cannot be read"
    return f"; the disk of {file.parent} is full" if free < FULL_BYTES else ""
