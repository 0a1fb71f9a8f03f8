"""Leases: who works on which id, for how long, and what becomes of an id that fails.

Invariants: a lease is an entry pending in the stream's consumer group. A live worker renews it, a
dead worker's is taken over, and an id delivered too often becomes a dead letter instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from vapo.ledger.books import Books
from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import GROUP, TASK_STAGES, Field, Key, Keys, Stage
from vapo.ledger.records import read_rollouts
from vapo.ledger.scripts import Scripts
from vapo.messages import MessageError, Rollout
from vapo.settings import Settings

MOST_HELD = 1_000_000
REASON_LETTERS = 1000
"""Kept of why one attempt failed; a dead letter holds twice as much."""


@dataclass(frozen=True)
class Lease:
    """One leased entry. ``id`` is a rollout id, or a task id when ``samples`` is not empty."""

    stage: Stage
    entry: str
    id: str
    samples: tuple[int, ...] = ()
    deliveries: int = 1

    @property
    def sample_list(self) -> str:
        """Samples as the scripts write them: ``0,1,2``; empty for a rollout."""
        return ",".join(map(str, self.samples))


class Leases(Books):
    """The leases of one run."""

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        super().__init__(redis, Keys(settings.run.name))
        self.settings = settings
        self._scripts = Scripts(redis)

    def make_groups(self) -> None:
        """Create the consumer group of every stream; harmless when they exist."""
        for stage in Stage:
            try:
                self.redis.xgroup_create(self.keys.stream(stage), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def lease(self, stage: Stage, consumer: str, count: int, block_seconds: float) -> list[Lease]:
        """Lease up to ``count`` entries waiting at ``stage``; waits at most ``block_seconds`` for
        the first one.
        """
        block = max(1, int(block_seconds * 1000)) if block_seconds > 0 else None
        return self._read(stage, consumer, ">", count, block)

    def pending(self, stage: Stage, consumer: str) -> list[Lease]:
        """What ``consumer`` held when it last stopped, oldest first."""
        return self._read(stage, consumer, "0", MOST_HELD, None)

    def renew(self, consumer: str, held: Sequence[Lease]) -> None:
        """Restart the clock of leases, without counting a delivery; call at least every
        ``lease_seconds / 3``.
        """
        for stage in {lease.stage for lease in held}:
            entries = [lease.entry for lease in held if lease.stage == stage]
            self.redis.xclaim(self.keys.stream(stage), GROUP, consumer, 0, entries, idle=0, justid=True)

    def take_over(self, stage: Stage, consumer: str, count: int) -> list[Lease]:
        """Lease what dead workers left; ids delivered too often become dead letters."""
        limit = self.settings.ledger.max_attempts
        expired = self._expired(stage, count)
        fresh = {entry: deliveries for entry, deliveries in expired.items() if deliveries < limit}
        worn = {entry: deliveries for entry, deliveries in expired.items() if entry not in fresh}
        for lease in self._claim(stage, consumer, worn):
            self.bury(
                lease,
                f"delivered {lease.deliveries - 1} times without a result "
                f"(ledger.max_attempts={limit}){self._last_failure(lease)}",
            )
        return self._claim(stage, consumer, fresh)

    def load(self, held: Sequence[Lease]) -> list[tuple[Lease, Rollout]]:
        """Records of leased rollouts. A lease whose record cannot be used is buried instead."""
        loaded = []
        records = read_rollouts(self.redis, self.keys, [lease.id for lease in held])
        for lease, record in zip(held, records, strict=True):
            if record is None:
                self.bury(lease, f"the record of rollout {lease.id} is gone")
            elif isinstance(record, MessageError):
                self.bury(lease, f"the record of rollout {lease.id} is unreadable: {record}")
            else:
                loaded.append((lease, record))
        return loaded

    def bury(self, lease: Lease, reason: str) -> bool:
        """Move a leased id to the dead letters, with its reason."""
        is_task = lease.stage in TASK_STAGES
        key = self.keys.task(lease.id) if is_task else self.keys.rollout(lease.id)
        which = [GROUP, lease.entry, lease.stage, lease.id, lease.sample_list]
        buried = self._scripts(
            "bury",
            [key, self.keys.stream(lease.stage)],
            [self.keys.prefix, *which, reason[: 2 * REASON_LETTERS], time.time()],
        )
        return buried == 1

    def fail(self, lease: Lease, reason: str) -> bool:
        """An attempt ended with ``reason``. The last one allowed buries the id; until then it stays
        leased, to be delivered again. Returns whether it was buried.
        """
        limit = self.settings.ledger.max_attempts
        if lease.deliveries >= limit:
            return self.bury(lease, f"failed {lease.deliveries} times (ledger.max_attempts={limit}); last: {reason}")
        self.note_failure(lease, reason)
        return False

    def note_failure(self, lease: Lease, reason: str) -> None:
        """Remember why an attempt ended, for the dead letter of an id delivered too often."""
        limits = self.settings.ledger
        seconds = math.ceil(limits.lease_seconds * (limits.max_attempts + 1)) + 60
        self.redis.set(self._failure_key(lease), reason[:REASON_LETTERS], ex=seconds)

    def _last_failure(self, lease: Lease) -> str:
        reason = self.redis.get(self._failure_key(lease))
        return f"; last failure: {reason.decode()}" if reason else ""

    def _failure_key(self, lease: Lease) -> str:
        return self.keys.named(f"{Key.FAILURE}{lease.stage}:{lease.entry}")

    def _read(self, stage: Stage, consumer: str, after: str, count: int, block: int | None) -> list[Lease]:
        reply = self.redis.xreadgroup(GROUP, consumer, {self.keys.stream(stage): after}, count=count, block=block)
        streams = reply.values() if isinstance(reply, dict) else [entries for _, entries in reply or []]
        # An entry without fields was deleted while it was leased.
        return [_lease(stage, *entry) for entries in streams for entry in entries if entry[1]]

    def _expired(self, stage: Stage, count: int) -> dict[str, int]:
        """Entries that nobody renewed for ``ledger.lease_seconds``, and their deliveries so far."""
        idle = int(self.settings.ledger.lease_seconds * 1000)
        pending = self.redis.xpending_range(self.keys.stream(stage), GROUP, "-", "+", count, idle=idle)
        return {row["message_id"].decode(): row["times_delivered"] for row in pending}

    def _claim(self, stage: Stage, consumer: str, entries: dict[str, int]) -> list[Lease]:
        """Take over expired entries (to deliveries so far); those taken meanwhile are left."""
        if not entries:
            return []
        idle = int(self.settings.ledger.lease_seconds * 1000)
        claimed = self.redis.xclaim(self.keys.stream(stage), GROUP, consumer, idle, list(entries))
        return [_lease(stage, entry, fields, entries[entry.decode()] + 1) for entry, fields in claimed if fields]


def sample_numbers(text: bytes) -> tuple[int, ...]:
    """Inverse of :attr:`Lease.sample_list`."""
    return tuple(int(part) for part in text.decode().split(",") if part)


def _lease(stage: Stage, entry: bytes, fields: dict[bytes, Any], deliveries: int = 1) -> Lease:
    samples = fields.get(Field.SAMPLES.encode(), b"") if stage in TASK_STAGES else b""
    return Lease(stage, entry.decode(), fields[Field.ID.encode()].decode(), sample_numbers(samples), deliveries)
