"""A run's records and queues, to be read and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import GROUP, Field, Key, Keys, Stage
from vapo.ledger.newest import Cursor, Look, look_at, look_through
from vapo.ledger.records import TaskRecord, read_rollouts, read_task
from vapo.messages import MessageError, Rollout

STATES_PER_PIPELINE = 1000


class Books:
    """What Redis holds of one run. Thread-safe."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self.redis, self.keys = redis, keys

    def task(self, task_id: str) -> TaskRecord | None:
        """A task and how far it is, or None."""
        return read_task(self.redis, self.keys, task_id)

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout with all that is known of it, or None. Raises MessageError: malformed."""
        return self.rollouts([rollout_id])[0]

    def rollouts(self, rollout_ids: Sequence[str]) -> list[Rollout | None]:
        """Several rollouts, in order; None where one is gone. Raises MessageError: malformed."""
        return [_sound(record) for record in read_rollouts(self.redis, self.keys, rollout_ids)]

    def readable_rollouts(self, rollout_ids: Sequence[str]) -> list[Rollout]:
        """Those of ``rollout_ids`` that are there and can be read, in order: for lists, which one
        malformed record must not hide.
        """
        records = read_rollouts(self.redis, self.keys, rollout_ids)
        return [record for record in records if isinstance(record, Rollout)]

    def states(self, rollout_ids: Iterable[str]) -> list[str | None]:
        """Where rollouts are: a stage's name, ``trained``, ``acknowledged``...; None where gone."""
        found: list[str | None] = []
        ids = iter(rollout_ids)
        while some := list(islice(ids, STATES_PER_PIPELINE)):
            with self.redis.pipeline(transaction=False) as pipe:
                for rollout_id in some:
                    pipe.hget(self.keys.rollout(rollout_id), Field.STATE)
                found += [None if state is None else state.decode() for state in pipe.execute()]
        return found

    def newest_rollouts(self, before: Cursor | None = None) -> Iterator[Look]:
        """All rollouts there are by the time they were generated, newest first, or those older
        than ``before``; read as far as the caller goes.
        """
        return look_through(self.redis, self.keys, before)

    def rollouts_of(self, task_id: str) -> list[Look]:
        """The rollouts of one task that there are, newest first."""
        record = self.task(task_id)
        ids = [f"{task_id}.{sample}" for sample in range(record.samples)] if record else []
        return look_at(self.redis, self.keys, ids)

    def note(self, hash_name: str, field: str) -> str:
        """Value of a :class:`vapo.ledger.Note`; empty when there is none."""
        return (self.redis.hget(self.keys.named(hash_name), field) or b"").decode()

    def depths(self) -> dict[str, int]:
        """Ids per queue: waiting (``tasks``, ``generated``...), leased (``tasks_leased``...), and
        ``backlog``, ``admitted``, ``dead``. What the trainer has used stays leased until its
        checkpoint is durable.
        """
        with self.redis.pipeline(transaction=False) as pipe:
            for stage in Stage:
                pipe.xlen(self.keys.stream(stage))
                pipe.xpending(self.keys.stream(stage), GROUP)
            pipe.llen(self.keys.named(Key.BACKLOG))
            pipe.scard(self.keys.named(Key.ADMITTED))
            pipe.xlen(self.keys.named(Key.DEAD_LETTERS))
            *streams, backlog, admitted, dead = pipe.execute()
        depths = {"backlog": backlog, "admitted": admitted, "dead": dead}
        for stage, total, held in zip(Stage, streams[::2], streams[1::2], strict=True):
            depths[str(stage)] = total - held["pending"]
            depths[f"{stage}_leased"] = held["pending"]
        return depths

    def counters(self) -> dict[str, int]:
        """Totals since the run began: submitted, generated, trained, dropped by reason, ..."""
        raw = self.redis.hgetall(self.keys.named(Key.COUNTERS))
        return {name.decode(): int(value) for name, value in raw.items()}


def _sound(record: Rollout | MessageError | None) -> Rollout | None:
    if isinstance(record, MessageError):
        raise record
    return record
