"""What rank 0 says of its course: to the run's folder, to its journal, and as an event.

Invariant: all three tell the same; the folder is told first, for it needs no Redis.
"""

from __future__ import annotations

from redis.exceptions import RedisError

from vapo.ledger import Ledger
from vapo.ledger.patience import LOOK_SECONDS
from vapo.local.run_folders.run_outcome import TrainingState, note_training


class Course:
    """The course of one trainer process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._directory = ledger.settings.run.directory
        self._max_steps = ledger.settings.trainer.max_steps

    def runs(self) -> None:
        """It is at work, whatever an earlier one said."""
        note_training(self._directory, "running", max_steps=self._max_steps)
        self._ledger.journal.note_course("running", max_steps=self._max_steps)

    def stopped(self, step: int, interrupted: bool) -> None:
        """It ended with everything on disk: at its last step, as asked to, or on a signal."""
        unfinished: TrainingState = "interrupted" if interrupted else "asked to stop"
        state = "finished" if step >= self._max_steps else unfinished
        note_training(self._directory, state, step, self._max_steps)
        fields = {"step": step, "max_steps": self._max_steps}
        self._ledger.journal.note_course(state, **fields)
        self._ledger.journal.tell("trainer_stopped", {**fields, "state": state})

    def failed(self, step: int, reason: str) -> None:
        """It ended of an error; without Redis, which may be that error, only the folder says so."""
        note_training(self._directory, "failed", step, self._max_steps, reason)
        try:
            journal = self._ledger.briefly(LOOK_SECONDS).journal
            journal.note_course("failed", step=step, max_steps=self._max_steps, reason=reason)
            journal.tell("trainer_failed", {"step": step, "error": reason})
        except RedisError as error:
            self._ledger.watch.failed("the failure is not in the journal", error)
