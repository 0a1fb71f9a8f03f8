"""From the ledger's last queue to batches of training rows (rank 0 only).

Invariants:
- a rollout leaves this module trained, dropped with a reason, or buried with a reason; none is
  lost: what is only in memory is still leased, and a restarted trainer is handed it again;
- staleness is counted in rollout steps, from the oldest weights any token was sampled under, at the
  moment the batch is formed; beyond the hard limit it is dropped and its sample queued again;
- nothing is trained on twice between two checkpoints, even if the queue hands it out twice;
- what a Redis that lost its last writes has forgotten is told again: which rollouts were trained,
  so that their slots are free, and the newest weights;
- with a group estimator a task's rows are trained together, once all that will come are here;
- a group that dynamic sampling throws away is dropped with a reason and frees its slots at once, so
  that others are sampled in its place.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainer.intake.dynamic_sampling import Discarded
from trainer.learning.batch import TrainingRow, UntrainableError
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.keys import Field, State
from vapo.ledger.patience import BLOCK_SECONDS
from vapo.ledger.routes import ENDS
from vapo.messages import Rollout
from vapo.weights import WeightChannel

logger = logging.getLogger(__name__)

OVER = ENDS | {State.TRAINED}
"""States of a rollout that will not come to the trainer (again)."""

TRAINED_BEFORE = {"phase": "training"}
"""Note of a rollout whose own Redis has forgotten."""


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
        self, ledger: Ledger, channel: WeightChannel, consumer: str, vocabulary_size: int, whole_groups: bool
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
        self._trained: set[str] = set()
        self._steps: dict[int, int] = {0: 0}
        self._next_look = 0.0

    def resume(self, in_checkpoint: Sequence[tuple[str, str]]) -> int:
        """Take up the leases of the trainer that ran before.

        Args:
            in_checkpoint: (entry, rollout id) of those whose effect the resumed checkpoint holds;
                they are acknowledged now, in case the trainer died before it did.

        Returns:
            Number of rollouts handed out again: those trained since, and those never trained.
        """
        self._ledger.acknowledge(in_checkpoint)
        again = self._ledger.redeliver(self._consumer)
        self._arrivals += self._received(again)
        return len(again)

    def next_batch(
        self,
        rollouts: int,
        step: int,
        keep_waiting: Callable[[], bool],
        deadline_seconds: float,
        discarded: Discarded | None = None,
    ) -> list[Arrival] | None:
        """The next ``rollouts`` (or, in whole groups, a few more), oldest first.

        Args:
            rollouts: size of the batch.
            step: rollout steps the policy has done, from which staleness is counted.
            keep_waiting: asked about twice a second; False ends the wait.
            deadline_seconds: longest wait.
            discarded: dynamic sampling's account of this step, which is added to; None takes all
                groups.

        Returns:
            None when ``keep_waiting`` said so.

        Raises:
            BatchDeadline: nothing like a batch came in time.
        """
        start = time.monotonic()
        self._arrivals = self._fresh(self._arrivals, step)
        while True:
            if discarded is not None:
                self._discard_uniform(discarded)
            batch = self._take(rollouts)
            if batch is not None:
                return batch
            if not keep_waiting():
                return None
            waited = time.monotonic() - start
            if waited > deadline_seconds:
                raise BatchDeadline(self._explain_deadline(rollouts, waited))
            arrived = self._lease_more(rollouts) + self._make_good()
            self._arrivals += self._fresh(arrived, step)

    def staleness(self, row: TrainingRow, step: int) -> int:
        """Rollout steps between the row's oldest token and ``step``.

        Never below 0: after a resume, rows may come from weights that are ahead of the trainer.
        """
        return max(0, step - self._step_of(row.oldest_version))

    def _lease_more(self, rollouts: int) -> list[Arrival]:
        wanted = max(1, rollouts - len(self._arrivals))
        return self._received(self._ledger.lease(Stage.SCORED, self._consumer, wanted, BLOCK_SECONDS))

    def _make_good(self) -> list[Arrival]:
        """Now and then: what an interrupted Redis did not tell, or has forgotten. A lease whose
        answer never arrived is received, since it holds a slot that nobody would free; one of a
        rollout that was acknowledged under another entry is ended.
        """
        if time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + self._ledger.settings.ledger.lease_seconds
        if self._channel.announce_if_lost():
            logger.warning("Redis had lost the newest weights' announcement; it was repeated")
        pending = self._ledger.pending(Stage.SCORED, self._consumer)
        states = self._ledger.states(lease.id for lease in pending)
        self._ledger.acknowledge(
            (lease.entry, lease.id) for lease, state in zip(pending, states, strict=True) if state == State.ACKNOWLEDGED
        )
        return self._received([lease for lease, state in zip(pending, states, strict=True) if state == Stage.SCORED])

    def release(self, rollout_ids: Iterable[str]) -> None:
        """These have been acknowledged: their leases are gone."""
        gone = set(rollout_ids)
        self._held -= gone
        self._trained -= gone

    def note_trained(self, rollout_ids: Iterable[str]) -> None:
        """These have been trained on; should Redis forget it, it is told again."""
        self._trained.update(rollout_ids)

    def _received(self, leases: Sequence[Lease]) -> list[Arrival]:
        # A Redis that crashed may have forgotten a moment, and hand out again what is here.
        unseen = {lease.id: lease for lease in leases if lease.id not in self._held}
        self._ledger.mark_trained((lease.id, TRAINED_BEFORE) for lease in leases if lease.id in self._trained)
        arrivals = [
            arrival
            for lease, rollout in self._ledger.load(list(unseen.values()))
            if (arrival := self._arrival(lease, rollout)) is not None
        ]
        self._held.update(arrival.lease.id for arrival in arrivals)
        return arrivals

    def _arrival(self, lease: Lease, rollout: Rollout) -> Arrival | None:
        try:
            return Arrival(lease, self._row(rollout), rollout.task.samples)
        except UntrainableError as error:
            logger.warning("buried: %s", error)
            self._ledger.bury(lease, str(error))
            return None

    def _row(self, rollout: Rollout) -> TrainingRow:
        row = training_row(rollout, self._temperature)
        for name in ("prompt_token_ids", "response_token_ids"):
            ids = getattr(row, name)
            if ids.min() < 0 or ids.max() >= self._vocabulary_size:
                raise UntrainableError(
                    f"rollout {row.rollout_id}: {name} holds ids {ids.min()} to {ids.max()}, but "
                    f"the model has {self._vocabulary_size}; it was made with another tokenizer"
                )
        return row

    def _fresh(self, arrivals: Sequence[Arrival], step: int) -> list[Arrival]:
        """Those within the staleness limit; the others are dropped."""
        stale = [arrival.lease for arrival in arrivals if self.staleness(arrival.row, step) > self._max_staleness]
        if not stale:
            return list(arrivals)
        self._ledger.drop(stale, "stale", requeue=True)
        dropped = {lease.id for lease in stale}
        self._held -= dropped
        logger.info("dropped %d rollouts older than ledger.max_staleness=%d steps", len(stale), self._max_staleness)
        return [arrival for arrival in arrivals if arrival.lease.id not in dropped]

    def _take(self, rollouts: int) -> list[Arrival] | None:
        if len(self._arrivals) < rollouts:
            return None
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

    def _discard_uniform(self, discarded: Discarded) -> None:
        groups = itertools.groupby(self._complete_groups(), lambda arrival: arrival.row.task_id)
        leases = []
        for _, members in groups:
            group = list(members)
            if discarded.discard([arrival.row.correct for arrival in group], group[0].samples):
                leases += [arrival.lease for arrival in group]
        self._ledger.drop(leases, "uniform group", requeue=False)
        gone = {lease.id for lease in leases}
        self._held -= gone
        self._arrivals = [a for a in self._arrivals if a.lease.id not in gone]

    def _complete_groups(self) -> list[Arrival]:
        groups: dict[str, list[Arrival]] = {}
        for arrival in self._arrivals:
            groups.setdefault(arrival.row.task_id, []).append(arrival)
        here = {arrival.row.rollout_id for arrival in self._arrivals}
        missing = {
            task_id: {f"{task_id}.{sample}" for sample in range(group[0].samples)} - here
            for task_id, group in groups.items()
        }
        over = self._over(set().union(*missing.values()))
        return [arrival for task_id, group in groups.items() if missing[task_id] <= over for arrival in group]

    def _over(self, rollout_ids: set[str]) -> set[str]:
        """Those that will not come: they ended, their payload is gone, or they are dead letters."""
        ids, keys = sorted(rollout_ids), self._ledger.keys
        with self._ledger.redis.pipeline(transaction=False) as pipe:
            for rollout_id in ids:
                task_id, _, sample = rollout_id.rpartition(".")
                pipe.hget(keys.rollout(rollout_id), Field.STATE)
                pipe.hmget(keys.task(task_id), f"{Field.MADE_SAMPLE}{sample}", f"{Field.DEAD_SAMPLE}{sample}")
            replies = pipe.execute()
        return {
            rollout_id
            for rollout_id, state, (made, dead) in zip(ids, replies[::2], replies[1::2], strict=True)
            if (state.decode() in OVER if state is not None else made is not None or dead is not None)
        }

    def _step_of(self, version: int) -> int:
        if version not in self._steps:
            self._steps[version] = self._channel.step_of(version)
        return self._steps[version]

    def _explain_deadline(self, rollouts: int, waited: float) -> str:
        return (
            f"no batch of {rollouts} rollouts came within {waited:.0f} s "
            f"(trainer.batch_deadline_seconds); {len(self._arrivals)} are here, the queues "
            f"hold {self._ledger.depths()}; submit more prompts, or see which part is stuck"
        )


def training_row(rollout: Rollout, temperature: float) -> TrainingRow:
    """A verified (and perhaps scored) rollout as the trainer wants it.

    Args:
        rollout: from the ledger.
        temperature: the run's, where the task has none of its own.

    Raises:
        UntrainableError: it has no reward, or arrays that do not fit.
    """
    if rollout.verdict is None or rollout.verdict.reward is None:
        raise UntrainableError(f"rollout {rollout.id} has no reward; it must pass the verifier first")
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
