"""How a run on this machine goes and how it ended: `outcome.json` in its folder.

Invariants:
- whoever knows it writes it: the keeper of the parts (`vapo up`, the demo) before they start and
  after they have stopped, rank 0 of the trainer in between; so there is one writer at a time;
- a run whose keeper is gone without a last word was killed; nobody has to write that;
- a file that cannot be written is logged and never the end of a run, and one that cannot be read
  says nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

logger = logging.getLogger(__name__)

OUTCOME_FILE = "outcome.json"
CLOCK_TOLERANCE_SECONDS = 2.0
"""A process id that was given out again belongs to a process that began at another time."""

TrainingState = Literal["running", "finished", "asked to stop", "interrupted", "failed"]
KeeperState = Literal["running", "done", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Training:
    """What the trainer said last."""

    state: TrainingState
    step: int | None = None
    """Step it stands at; None while it runs."""
    max_steps: int | None = None
    reason: str | None = None
    at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """The process that keeps, or kept, the run's parts running."""

    state: KeeperState
    pid: int
    born: float
    """When the process began, seconds since the epoch."""
    host: str
    reason: str | None = None
    at: float = 0.0
    """Seconds since the epoch."""

    @property
    def alive(self) -> bool:
        """Whether it runs; one on another host counts for what it said last."""
        if self.state != "running":
            return False
        if self.host != socket.gethostname():
            return True
        try:
            born = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(born - self.born) < CLOCK_TOLERANCE_SECONDS


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run's folder says of its course; None where nobody has said anything."""

    keeper: Keeper | None = None
    training: Training | None = None


def read_outcome(directory: Path) -> RunOutcome:
    """What `outcome.json` of a run's folder says; nothing where it is missing or unreadable."""
    fields = _fields(directory)
    try:
        keeper, training = fields.get("keeper"), fields.get("training")
        return RunOutcome(Keeper(**keeper) if keeper else None, Training(**training) if training else None)
    except TypeError:
        return RunOutcome()


def note_training(
    directory: Path,
    state: TrainingState,
    step: int | None = None,
    max_steps: int | None = None,
    reason: str | None = None,
) -> None:
    """The trainer's word on its course."""
    _note(directory, training=asdict(Training(state, step, max_steps, reason, time.time())))


@contextmanager
def kept(directory: Path) -> Iterator[None]:
    """Say in the run's folder that this process keeps the run, and at the end how it ended."""
    _note_keeper(directory, "running")
    try:
        yield
    except KeyboardInterrupt:
        _note_keeper(directory, "stopped")
        raise
    except BaseException as error:
        _note_keeper(directory, "failed", str(error) or type(error).__name__)
        raise
    _note_keeper(directory, "done")


def _note_keeper(directory: Path, state: KeeperState, reason: str | None = None) -> None:
    born = psutil.Process().create_time()
    keeper = Keeper(state, os.getpid(), born, socket.gethostname(), reason, time.time())
    _note(directory, keeper=asdict(keeper))


def _note(directory: Path, **changes: dict[str, Any]) -> None:
    file = directory / OUTCOME_FILE
    partial = file.with_name(f".{OUTCOME_FILE}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(_fields(directory) | changes, indent=1), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        logger.warning("%s cannot be written: %s", file, error.strerror)


def _fields(directory: Path) -> dict[str, Any]:
    try:
        fields = json.loads((directory / OUTCOME_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}
