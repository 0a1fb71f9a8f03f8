"""Rank 0's side of the loop: what to do next, and what becomes of the rollouts afterwards.

Invariants:
- a rollout is marked trained after its optimiser steps and acknowledged only when a checkpoint that
  holds their effect is on disk;
- every wait can be ended by a stop, a checkpoint request or its deadline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from trainer.intake.dynamic_sampling import Discarded
from trainer.intake.ingest import Arrival, BatchDeadline, Ingest
from trainer.intake.order import Action, Order
from trainer.learning.batch import RolloutBatch
from trainer.learning.timer import StepTimer
from trainer.learning.update import UpdateResult
from trainer.records.metrics_file import MetricsFile
from trainer.records.position import RunPosition
from trainer.records.status import Requests, Status
from vapo.ledger import Ledger
from vapo.ledger.patience import PAUSE_SECONDS
from vapo.ledger.trouble import Kind, trouble_of

logger = logging.getLogger(__name__)

LONGEST_SILENCE_SECONDS = 60.0
"""After this long rank 0 tells the others to go on waiting, whatever it waits for but a batch; a
batch has a deadline, which the collectives' is made to exceed by more than this."""
SHOWN = (
    "reward",
    "accuracy",
    "response_length",
    "entropy",
    "explained_variance",
    "staleness_mean",
    "mismatch_magnitude",
    "tokens_per_second",
)


class Coordinator:
    """Talks to the ledger for all ranks."""

    def __init__(self, ledger: Ledger, ingest: Ingest, requests: Requests, status: Status) -> None:
        self._ledger, self._ingest = ledger, ingest
        self._requests, self._status = requests, status
        self._settings = ledger.settings
        self._metrics = MetricsFile(self._settings.run.directory / "metrics.jsonl")
        self._in_hand: list[Arrival] = []
        self._unacknowledged: list[tuple[str, str]] = []
        self._discarded: Discarded | None = None

    def resume(self, position: RunPosition) -> None:
        """Go on from a checkpoint or from nothing: sort out leases, forget what will be redone."""
        again = self._ingest.resume(position.unacknowledged)
        self._ledger.journal.forget_metrics_after(position.step)
        self._metrics.forget_after(position.step, position.pretraining_steps)
        self._status.set(step=position.step)
        logger.info("at step %d, %d rollouts handed out again", position.step, again)

    def next_order(self, position: RunPosition, timer: StepTimer) -> Order:
        """Wait for something to do, or for a while.

        Raises:
            BatchDeadline: no batch came within ``trainer.batch_deadline_seconds``.
        """
        start = time.monotonic()
        while True:
            if self._requests.stopping:
                return Order(Action.STOP)
            try:
                order = self._order_now(position, timer, start)
            except RedisError as error:
                self._hold(error)
                continue
            if order is not None:
                return order

    def _order_now(self, position: RunPosition, timer: StepTimer, start: float) -> Order | None:
        """What there is to do, or None when to look again. Raises RedisError."""
        if self._ledger.control.stop_requested:
            return Order(Action.STOP)
        if position.step >= self._settings.trainer.max_steps:
            return Order(Action.STOP)
        if self._requests.checkpoint_wanted:
            self._requests.checkpoint_begun()
            return Order(Action.CHECKPOINT)
        if time.monotonic() - start > LONGEST_SILENCE_SECONDS:
            return Order(Action.WAIT)
        if self._requests.paused:
            self._status.set(phase="paused")
            self._requests.wait_while_paused()
            return None
        self._ledger.watch.refuse_if_lost()
        return self._batch_order(position, timer)

    def _hold(self, error: RedisError) -> None:
        """Wait a moment when Redis has lost the run: it may be given back, and until then there is
        nothing to train on. Raises any other error, unless the trainer is to stop anyway.
        """
        self._ledger.watch.failed("training waits", error)
        if trouble_of(error).kind is not Kind.LOST and not self._requests.stopping:
            raise error
        self._status.set(phase="waiting for the run's data")
        time.sleep(PAUSE_SECONDS)

    def _batch_order(self, position: RunPosition, timer: StepTimer) -> Order | None:
        """An order to train, or None when something else came up while waiting."""
        self._status.set(phase="waiting for rollouts")
        with timer.measure("wait"):
            arrivals = self._wait_for_batch(position)
        if arrivals is None:
            return None
        self._in_hand = arrivals
        action = Action.TRAIN if position.pretrained else Action.PRETRAIN
        self._status.set(phase="training" if position.pretrained else "value pretraining")
        return Order(action, tuple(arrival.row for arrival in arrivals))

    def _wait_for_batch(self, position: RunPosition) -> list[Arrival] | None:
        rollouts, trainer = self._settings.rollouts_per_step, self._settings.trainer
        if self._discarded is None and self._samples_dynamically(position):
            self._discarded = Discarded(trainer.uniform_batches_limit * rollouts)
        try:
            return self._ingest.next_batch(
                rollouts, position.step, self._keep_waiting, trainer.batch_deadline_seconds, self._discarded
            )
        except BatchDeadline:
            if self._ledger.control.paused:
                return None
            raise

    def _samples_dynamically(self, position: RunPosition) -> bool:
        return position.pretrained and self._settings.algorithm.drop_uniform_groups

    def _keep_waiting(self) -> bool:
        requests = self._requests
        return not (
            requests.stopping or requests.paused or requests.checkpoint_wanted or self._ledger.control.stop_requested
        )

    def staleness(self, step: int) -> list[int]:
        """Age of each row in hand, in rollout steps, as ``step`` steps are done."""
        return [self._ingest.staleness(arrival.row, step) for arrival in self._in_hand]

    def canary_mismatch(self) -> float | None:
        """Largest gap a living generator found when it proved its weights, nats per token."""
        living = self._ledger.fleet.alive("generator")
        known = [member.details.get("canary_difference") for member in living]
        return max((gap for gap in known if gap is not None), default=None)

    def note_pretrained(self, pretraining_step: int) -> None:
        """The critic has learnt from the rows in hand."""
        self._mark([{"phase": "value pretraining", "step": pretraining_step}] * len(self._in_hand))

    def note_trained(self, batch: RolloutBatch, result: UpdateResult, step: int) -> None:
        """Actor and critic have learnt from the rows in hand; ``step`` is the step just done."""
        lengths = batch.lengths.tolist()
        advantages = result.signal.advantages.float().cpu().split(lengths)
        values = result.values.float().cpu().split(lengths)
        ages = self.staleness(step - 1)
        self._mark(
            [
                {
                    "phase": "training",
                    "step": step,
                    "staleness": age,
                    "advantages": row_advantages.numpy(),
                    "values": row_values.numpy(),
                }
                for age, row_advantages, row_values in zip(ages, advantages, values, strict=True)
            ]
        )

    def _mark(self, notes: Sequence[dict[str, Any]]) -> None:
        held = [arrival.lease for arrival in self._in_hand]
        self._unacknowledged += [(lease.entry, lease.id) for lease in held]
        self._ingest.note_trained(lease.id for lease in held)
        self._ledger.mark_trained((lease.id, note) for lease, note in zip(held, notes, strict=True))
        self._in_hand = []

    @property
    def unacknowledged(self) -> tuple[tuple[str, str], ...]:
        """(entry, rollout id) trained on since the last acknowledged checkpoint."""
        return tuple(self._unacknowledged)

    def acknowledge(self) -> None:
        """A checkpoint with the effect of all rollouts trained so far is on disk."""
        self._ledger.acknowledge(self._unacknowledged)
        self._ingest.release(rollout_id for _, rollout_id in self._unacknowledged)
        self._unacknowledged = []
        self._ledger.trim()

    def report_step(self, step: int, row: dict[str, Any]) -> None:
        """Publish the metrics of one policy step."""
        if self._discarded is not None:
            row, self._discarded = row | self._discarded.metrics(), None
        self._ledger.journal.write_metrics(step, row)
        self._metrics.append({"step": step, "at": time.time(), **row})
        self._status.set(step=step, version=row["version"], metrics=row)
        logger.info("step %d: %s", step, _summary(row))

    def report_pretraining(self, step: int, row: dict[str, Any]) -> None:
        """Publish the metrics of one batch of value pretraining."""
        full = {"pretraining_step": step, "at": time.time(), **row}
        self._ledger.journal.tell("value_pretraining", full)
        self._metrics.append(full)
        self._status.set(pretraining_step=step, metrics=row)
        logger.info("value pretraining %d: %s", step, _summary(row))

    def report_weights(self, version: int, step: int) -> None:
        """Tell that a version was published."""
        self._ledger.journal.tell("weights", {"version": version, "step": step})
        self._status.set(version=version)

    def report_checkpoint(self, step: int, folder: str) -> None:
        """Tell that a checkpoint is on disk."""
        self._ledger.journal.tell("checkpoint", {"step": step, "folder": folder})
        self._status.set(checkpoint=folder, checkpoint_step=step)


def _summary(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {row[name]:.4g}" for name in SHOWN if row.get(name) is not None)
