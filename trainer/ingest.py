"""From the ledger's last queue to batches of training rows (rank 0 only).

Invariants:
- a rollout leaves this module trained, dropped with a reason, or buried with a reason; none is
  lost: what is only in memory is still leased, and a restarted trainer is handed it again;
- staleness is counted in rollout steps, from the oldest weights any token was sampled under, at the
  moment the batch is formed; beyond the hard limit it is dropped and its sample queued again;
- nothing is trained on twice between two checkpoints, even if the queue hands it out twice;
- with a group estimator a task's rows are trained together, once all that will come are here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainer.batch import RowError, TrainingRow
from vapo.ledger import Lease, Ledger, Stage
from vapo.messages import MessageError, Rollout
from vapo.weights import WeightChannel

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 0.5
OVER = (b"dropped", b"dead", b"acknowledged", b"trained")
"""States of a rollout that will not come to the trainer (again)."""


class BatchDeadline(RuntimeError):
    """No full batch came in time; the text says what is missing and where to look."""


@dataclass(frozen=True)
class Arrival:
    """A leased rollout that is ready to be trained on."""

    lease: Lease
    row: TrainingRow
    samples: int
    """Samples of its task."""


class Ingest:
    """Collects batches for the trainer, the only consumer of the last queue."""

    def __init__(
        self, ledger: Ledger, channel: WeightChannel, consumer: str, vocabulary_size: int,
        whole_groups: bool,
    ) -> None:
        """
        Args:
            ledger: the run's ledger.
            channel: knows the trainer step of every weight version.
            consumer: the trainer's name; the same after a restart, since its leases go by it.
            vocabulary_size: token ids must be below it.
            whole_groups: train all rows of a task in one batch.
        """
        self._ledger, self._channel, self._consumer = ledger, channel, consumer
        self._vocabulary_size, self._whole_groups = vocabulary_size, whole_groups
        self._temperature = ledger.settings.sampling.temperature
        self._max_staleness = ledger.settings.ledger.max_staleness
        self._arrivals: list[Arrival] = []
        self._held: set[str] = set()
        self._steps: dict[int, int] = {0: 0}
        self._next_adoption = 0.0

    def resume(self, in_checkpoint: Sequence[tuple[str, str]]) -> int:
        """Take up the leases of the trainer that ran before.

        Args:
            in_checkpoint: (entry, rollout id) of those whose effect the resumed checkpoint holds;
                they are acknowledged now, in case the trainer died before it did.

        Returns:
            Number of rollouts handed out again: those trained since, and those never trained.
        """
        for entry, rollout_id in in_checkpoint:
            self._ledger.acknowledge(entry, rollout_id)
        again = self._ledger.redeliver(self._consumer)
        for lease in again:
            self._receive(lease)
        return len(again)

    def next_batch(
        self, rollouts: int, step: int, keep_waiting: Callable[[], bool], deadline_seconds: float
    ) -> list[Arrival] | None:
        """The next ``rollouts`` (or, in whole groups, a few more), oldest first.

        Args:
            rollouts: size of the batch.
            step: rollout steps the policy has done, from which staleness is counted.
            keep_waiting: asked about twice a second; False ends the wait.
            deadline_seconds: longest wait.

        Returns:
            None when ``keep_waiting`` said so.

        Raises:
            BatchDeadline: nothing like a batch came in time.
        """
        start = time.monotonic()
        while True:
            self._drop_stale(step)
            batch = self._take(rollouts)
            if batch is not None:
                return batch
            if not keep_waiting():
                return None
            waited = time.monotonic() - start
            if waited > deadline_seconds:
                raise BatchDeadline(self._explain_deadline(rollouts, waited))
            self._lease_more(rollouts)
            self._adopt_unseen()

    def staleness(self, row: TrainingRow, step: int) -> int:
        """Rollout steps between the row's oldest token and ``step``.

        Never below 0: after a resume, rows may come from weights that are ahead of the trainer.
        """
        return max(0, step - self._step_of(row.oldest_version))

    def _lease_more(self, rollouts: int) -> None:
        wanted = max(1, rollouts - len(self._arrivals))
        for lease in self._ledger.lease(Stage.SCORED, self._consumer, wanted, BLOCK_SECONDS):
            self._receive(lease)

    def _adopt_unseen(self) -> None:
        """Receive what Redis leased to this trainer in an answer that never arrived: one that dies
        between the two holds slots that nobody would free.
        """
        if time.monotonic() < self._next_adoption:
            return
        self._next_adoption = time.monotonic() + self._ledger.settings.ledger.lease_seconds
        for lease in self._ledger.pending(Stage.SCORED, self._consumer):
            if lease.id not in self._held and self._ledger.state(lease.id) == Stage.SCORED:
                self._receive(lease)

    def release(self, rollout_ids: Iterable[str]) -> None:
        """These have been acknowledged: their leases are gone."""
        self._held.difference_update(rollout_ids)

    def _receive(self, lease: Lease) -> None:
        if lease.id in self._held:
            # A Redis that crashed may have forgotten a moment, and hand out again what is here.
            return
        try:
            rollout = self._ledger.rollout(lease.id)
            if rollout is None:
                raise RowError(f"rollout {lease.id} has no record; it was removed by hand")
            arrival = Arrival(lease, self._row(rollout), rollout.task.samples)
        except (MessageError, RowError) as error:
            logger.warning("buried: %s", error)
            self._ledger.bury(lease, str(error))
            return
        self._arrivals.append(arrival)
        self._held.add(lease.id)

    def _row(self, rollout: Rollout) -> TrainingRow:
        row = training_row(rollout, self._temperature)
        for name in ("prompt_token_ids", "response_token_ids"):
            ids = getattr(row, name)
            if ids.min() < 0 or ids.max() >= self._vocabulary_size:
                raise RowError(
                    f"rollout {row.rollout_id}: {name} holds ids {ids.min()} to {ids.max()}, but "
                    f"the model has {self._vocabulary_size}; it was made with another tokenizer")
        return row

    def _drop_stale(self, step: int) -> None:
        fresh = []
        for arrival in self._arrivals:
            if self.staleness(arrival.row, step) <= self._max_staleness:
                fresh.append(arrival)
            else:
                self._ledger.drop(arrival.lease, "stale", requeue=True)
                self._held.discard(arrival.lease.id)
        if len(fresh) < len(self._arrivals):
            logger.info("dropped %d rollouts older than ledger.max_staleness=%d steps",
                        len(self._arrivals) - len(fresh), self._max_staleness)
        self._arrivals = fresh

    def _take(self, rollouts: int) -> list[Arrival] | None:
        ready = self._complete_groups() if self._whole_groups else self._arrivals
        batch: list[Arrival] = []
        for arrival in ready:
            opens_group = not batch or arrival.row.task_id != batch[-1].row.task_id
            if len(batch) >= rollouts and (opens_group or not self._whole_groups):
                break
            batch.append(arrival)
        if len(batch) < rollouts:
            return None
        taken = {arrival.lease.id for arrival in batch}
        self._arrivals = [a for a in self._arrivals if a.lease.id not in taken]
        return batch

    def _complete_groups(self) -> list[Arrival]:
        groups: dict[str, list[Arrival]] = {}
        for arrival in self._arrivals:
            groups.setdefault(arrival.row.task_id, []).append(arrival)
        return [arrival for task_id, group in groups.items() if self._is_complete(task_id, group)
                for arrival in group]

    def _is_complete(self, task_id: str, group: Sequence[Arrival]) -> bool:
        here = {arrival.row.rollout_id for arrival in group}
        return all(self._is_over(task_id, sample) for sample in range(group[0].samples)
                   if f"{task_id}.{sample}" not in here)

    def _is_over(self, task_id: str, sample: int) -> bool:
        """Whether a sample will not come: it ended, its payload is gone, or its task is dead."""
        redis, keys = self._ledger.redis, self._ledger.keys
        [state] = redis.hmget(keys.rollout(f"{task_id}.{sample}"), "state")
        if state is not None:
            return state in OVER
        made, task_state = redis.hmget(keys.task(task_id), f"made:{sample}", "state")
        return made is not None or task_state == b"dead"

    def _step_of(self, version: int) -> int:
        if version not in self._steps:
            self._steps[version] = self._channel.step_of(version)
        return self._steps[version]

    def _explain_deadline(self, rollouts: int, waited: float) -> str:
        return (f"no batch of {rollouts} rollouts came within {waited:.0f} s "
                f"(trainer.batch_deadline_seconds); {len(self._arrivals)} are here, the queues "
                f"hold {self._ledger.depths()}; submit more prompts, or see which part is stuck")


def training_row(rollout: Rollout, temperature: float) -> TrainingRow:
    """A verified (and perhaps scored) rollout as the trainer wants it.

    Args:
        rollout: from the ledger.
        temperature: the run's, where the task has none of its own.

    Raises:
        RowError: it has no reward, or arrays that do not fit.
    """
    if rollout.verdict is None or rollout.verdict.reward is None:
        raise RowError(f"rollout {rollout.id} has no reward; it must pass the verifier first")
    own = rollout.task.sampling.temperature
    return TrainingRow(
        rollout_id=rollout.id,
        task_id=rollout.task.id,
        prompt_token_ids=rollout.task.prompt_token_ids,
        response_token_ids=rollout.generated.token_ids,
        behaviour_log_probs=rollout.generated.behaviour_log_probs,
        version_spans=rollout.generated.version_spans,
        reward=float(rollout.verdict.reward),
        correct=rollout.verdict.correct,
        truncated=rollout.generated.finish_reason == "length",
        values=rollout.values.values if rollout.values else None,
        critic_version=rollout.values.critic_version if rollout.values else None,
        temperature=temperature if own is None else own,
    )
