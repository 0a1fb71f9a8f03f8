"""Worker processes with a hard time limit, for judgements and patterns that may hang or explode.

Invariants:
- every judgement ends within its time limit: a worker that is late is killed with SIGKILL and
  replaced, and what it was doing gets a verdict (timeout), never a wrong answer by accident;
- a worker that dies takes only its own judgement with it;
- workers are fresh processes, never forks of a threaded server, with an environment that holds no
  secret; messages are JSON on pipes;
- all workers are started by one thread that lives as long as the pool, because the kernel ends a
  process with PR_SET_PDEATHSIG when the *thread* that started it ends.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from services.verifier.judgement.verdicts import Fault, Judgement, Outcome
from services.verifier.pool import pipe_messages
from vapo.processes.child import environment_without_secrets

if TYPE_CHECKING:  # the workers import this room and need no settings
    from vapo.settings import VerifierSettings

START_LIMIT_SECONDS = 60.0
"""Longest start of a worker (it imports sympy)."""
ATTEMPTS = 2
SOFT_SHARE = 0.8
"""Part of the time limit after which a worker interrupts itself."""
RESTART_PAUSE_SECONDS = 1.0
"""A machine that cannot start processes is not flooded with tries."""
CLOSING_CHECK_SECONDS = 0.5
MAXIMUM_RESPONSE_CHARACTERS = 200_000
"""Of the end of a response that a worker is sent; the mathematics searches no more of it."""
MAXIMUM_SEARCHED_CHARACTERS = 1_000_000
"""Of a text that a pattern is looked for in; a message holds so many in any script."""
_ROOT = Path(__file__).resolve().parents[3]

logger = logging.getLogger(__name__)


class PoolError(RuntimeError):
    """No judgement could be had, through no fault of the input; it may be tried again."""


class WorkerFailure(Exception):
    """A worker gave no answer."""

    reference_done = False
    """Whether it had worked through the reference."""


class WorkerLate(WorkerFailure):
    """The worker did not answer in time."""


class WorkerDied(WorkerFailure):
    """The worker ended without an answer."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"it ended with status {status}")
        self.out_of_memory = status == pipe_messages.MEMORY_STATUS


class Pool:
    """A fixed number of worker processes. Thread-safe; use as a context manager."""

    def __init__(self, settings: VerifierSettings, maker: str) -> None:
        """Start ``settings.workers`` in the background: judgements wait for the first that is ready.

        Args:
            settings: how many workers, and their limits.
            maker: ``module:function`` that makes a verifier of a name and options; the workers import it.
        """
        self._settings, self._maker = settings, maker
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._orders: queue.Queue[bool] = queue.Queue()
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.replaced = 0
        """Workers killed or lost so far."""
        for _ in range(settings.workers):
            self._orders.put(True)
        self._starter = threading.Thread(target=self._start_workers, name="verifier-pool", daemon=True)
        self._starter.start()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def judge(self, verifier: str, rules: tuple[str, ...], response: str, reference: str) -> Judgement:
        """Judge in a worker process.

        A worker that dies of anything but its memory limit is taken for a victim: the judgement is
        tried once more, on another worker.

        Raises:
            PoolError: no worker became free within the start limit plus the time limit, or the pool
                was closed meanwhile.
        """
        reply = self._ask(_message(verifier, rules, response, reference))
        if not isinstance(reply, WorkerFailure):
            return Judgement.from_dict(reply["judgement"])
        if isinstance(reply, WorkerDied) and not reply.out_of_memory:
            return Judgement(Outcome.ERROR, f"two workers died: {reply}", fault=Fault.VERIFIER)
        return _failed(reply, self._settings)

    def search(self, pattern: str, text: str) -> bool | None:
        """Whether ``text`` contains the regular expression ``pattern`` (a dot is any character).

        Returns:
            None when that cannot be said within the time and memory limit, or of a text of more
            than ``MAXIMUM_SEARCHED_CHARACTERS``.

        Raises:
            PoolError: as for :meth:`judge`.
        """
        if len(text) > MAXIMUM_SEARCHED_CHARACTERS:
            return None
        reply = self._ask(pipe_messages.encode({"pattern": pattern, "text": text}))
        return None if isinstance(reply, WorkerFailure) else reply["found"]

    def close(self) -> None:
        """Kill all workers. Judgements in progress and later ones raise PoolError."""
        self._closed.set()
        self._orders.put(False)
        self._starter.join(timeout=START_LIMIT_SECONDS)
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.kill()  # who waits for it sees its pipe end, and disposes of it
        while not self._idle.empty():
            self._dispose(self._idle.get_nowait())

    @property
    def ready_workers(self) -> int:
        """Workers that are idle at this moment."""
        return self._idle.qsize()

    def process_ids(self) -> list[int]:
        """Process ids of the workers alive."""
        with self._lock:
            return [worker.process.pid for worker in self._workers]

    def _ask(self, message: bytes) -> dict[str, Any] | WorkerFailure:
        """The answer to one message, or the failure that counts: the last death of several."""
        for _ in range(ATTEMPTS):
            reply = self._attempt(message)
            if not isinstance(reply, WorkerDied) or reply.out_of_memory:
                break
        return reply

    def _attempt(self, message: bytes) -> dict[str, Any] | WorkerFailure:
        worker = self._take()
        try:
            reply = worker.ask(message, self._settings.time_limit_seconds)
        except WorkerFailure as failure:
            self._replace(worker)
            if self._closed.is_set():
                raise PoolError("the pool was closed") from None
            failure.reference_done = worker.reference_done
            return failure
        except BaseException:
            self._replace(worker)
            raise
        self._idle.put(worker)
        return reply

    def _take(self) -> _Worker:
        """An idle worker that lives. Waits in short steps so that closing ends the wait."""
        deadline = time.monotonic() + START_LIMIT_SECONDS + self._settings.time_limit_seconds
        while not self._closed.is_set() and time.monotonic() < deadline:
            try:
                worker = self._idle.get(timeout=CLOSING_CHECK_SECONDS)
            except queue.Empty:
                continue
            if worker.process.poll() is None:
                return worker
            self._replace(worker)
        if self._closed.is_set():
            raise PoolError("the pool is closed")
        raise PoolError(f"none of {self._settings.workers} workers became free; raise verifier.workers")

    def _replace(self, worker: _Worker) -> None:
        self._dispose(worker)
        self.replaced += 1
        if not self._closed.is_set():
            self._orders.put(True)

    def _dispose(self, worker: _Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.kill()
        worker.close_pipes()

    def _start_workers(self) -> None:
        while self._orders.get() and not self._closed.is_set():
            worker = _Worker(self._settings, self._maker)
            with self._lock:
                self._workers.add(worker)
            threading.Thread(target=self._welcome, args=(worker,), daemon=True).start()

    def _welcome(self, worker: _Worker) -> None:
        try:
            worker.wait_until_ready()
        except (WorkerLate, WorkerDied) as failure:
            if not self._closed.wait(RESTART_PAUSE_SECONDS):
                logger.error("a verifier worker did not start: %s", failure)
            self._replace(worker)
        else:
            self._idle.put(worker)


class _Worker:
    """One worker process and its pipes."""

    def __init__(self, settings: VerifierSettings, maker: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services.verifier.pool.worker_process",
                str(os.getpid()),
                str(settings.memory_limit_mib),
                str(SOFT_SHARE * settings.time_limit_seconds),
                maker,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment_without_secrets(_ROOT), "OMP_NUM_THREADS": "1"},
            cwd=_ROOT,
            bufsize=0,
        )
        self._input = cast(IO[bytes], self.process.stdin)
        self._output = cast(IO[bytes], self.process.stdout)
        os.set_blocking(self._input.fileno(), False)
        self.reference_done = False

    def wait_until_ready(self) -> None:
        """Raises WorkerLate or WorkerDied when it does not become ready."""
        self._receive(time.monotonic() + START_LIMIT_SECONDS)

    def ask(self, message: bytes, time_limit_seconds: float) -> dict[str, Any]:
        """The answer. Raises WorkerLate or WorkerDied when none comes within the time limit."""
        deadline = time.monotonic() + time_limit_seconds
        self.reference_done = False
        self._send(message, deadline)
        while True:
            reply = self._receive(deadline)
            if "reference" not in reply:
                return reply
            self.reference_done = True

    def kill(self) -> None:
        """End it at once and collect it. Harmless when it has ended."""
        self.process.kill()
        self.process.wait()

    def close_pipes(self) -> None:
        """Only the thread that uses them may close them: descriptors are reused."""
        self._input.close()
        self._output.close()

    def _send(self, message: bytes, deadline: float) -> None:
        descriptor, view = self._input.fileno(), memoryview(message)
        while view:
            _wait(descriptor, select.POLLOUT, deadline)
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise WorkerDied(self.process.wait()) from None

    def _receive(self, deadline: float) -> dict[str, Any]:
        length = pipe_messages.body_length(self._read(pipe_messages.LENGTH.size, deadline))
        return pipe_messages.decode(self._read(length, deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        descriptor, parts = self._output.fileno(), bytearray()
        while len(parts) < count:
            _wait(descriptor, select.POLLIN, deadline)
            part = os.read(descriptor, count - len(parts))
            if not part:
                raise WorkerDied(self.process.wait())
            parts += part
        return bytes(parts)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(descriptor, event)
    if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise WorkerLate("it did not answer in time")


def _message(verifier: str, rules: tuple[str, ...], response: str, reference: str) -> bytes:
    return pipe_messages.encode(
        {
            "verifier": verifier,
            "rules": rules,
            "response": response[-MAXIMUM_RESPONSE_CHARACTERS:],
            "reference": reference,
        }
    )


def _failed(failure: WorkerFailure, settings: VerifierSettings) -> Judgement:
    """The verdict on an input that broke a limit, and whether the reference alone broke it."""
    done = failure.reference_done
    fault = Fault.RESPONSE if done else Fault.REFERENCE
    subject = "comparing the answer" if done else "reading the reference"
    if isinstance(failure, WorkerLate):
        reason = f"{subject} took longer than {settings.time_limit_seconds:g} s"
        return Judgement(Outcome.TIMEOUT, reason, fault=fault)
    reason = f"{subject} needs more than {settings.memory_limit_mib} MiB"
    return Judgement(Outcome.ERROR, reason, fault=fault)
