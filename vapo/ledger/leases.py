"""Leases: who works on which id, for how long.

Invariants: a lease is an entry pending in the stream's consumer group. A live worker renews it, a
dead worker's is taken over, and an id delivered too often becomes a dead letter instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import GROUP, TASK_STAGES, Field, Keys, Stage


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


def make_groups(redis: RedisClient, keys: Keys) -> None:
    """Create the consumer group of every stream; harmless when they exist."""
    for stage in Stage:
        try:
            redis.xgroup_create(keys.stream(stage), GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def read_new(
    redis: RedisClient, keys: Keys, stage: Stage, consumer: str, count: int, block_seconds: float
) -> list[Lease]:
    """Lease up to ``count`` waiting entries; waits at most ``block_seconds`` for the first."""
    block = max(1, int(block_seconds * 1000)) if block_seconds > 0 else None
    reply = redis.xreadgroup(GROUP, consumer, {keys.stream(stage): ">"}, count=count, block=block)
    return [_lease(stage, *entry) for _, entries in _streams(reply) for entry in entries]


def read_pending(redis: RedisClient, keys: Keys, stage: Stage, consumer: str) -> list[Lease]:
    """Entries this consumer holds already, oldest first (what it had when it died)."""
    reply = redis.xreadgroup(GROUP, consumer, {keys.stream(stage): "0"}, count=1_000_000)
    return [_lease(stage, *entry) for _, entries in _streams(reply) for entry in entries if entry[1]]


def renew(redis: RedisClient, keys: Keys, stage: Stage, consumer: str, entries: list[str]) -> None:
    """Restart the lease clock of entries this consumer holds, without counting a delivery."""
    if entries:
        redis.xclaim(keys.stream(stage), GROUP, consumer, 0, entries, idle=0, justid=True)


def expired(redis: RedisClient, keys: Keys, stage: Stage, idle_seconds: float, count: int) -> list[tuple[str, int]]:
    """Entries nobody renewed for ``idle_seconds``: (entry, deliveries so far)."""
    pending = redis.xpending_range(keys.stream(stage), GROUP, "-", "+", count, idle=int(idle_seconds * 1000))
    return [(row["message_id"].decode(), row["times_delivered"]) for row in pending]


def claim(
    redis: RedisClient, keys: Keys, stage: Stage, consumer: str, idle_seconds: float, entries: dict[str, int]
) -> list[Lease]:
    """Take over expired entries (entry to deliveries so far); those taken meanwhile are left."""
    if not entries:
        return []
    claimed = redis.xclaim(keys.stream(stage), GROUP, consumer, int(idle_seconds * 1000), list(entries))
    return [_lease(stage, entry, fields, entries[entry.decode()] + 1) for entry, fields in claimed if fields]


def _streams(reply: Any) -> list[Any]:
    return list(reply.items()) if isinstance(reply, dict) else list(reply or [])


def _lease(stage: Stage, entry: bytes, fields: dict[bytes, bytes], deliveries: int = 1) -> Lease:
    samples = fields.get(Field.SAMPLES.encode(), b"").decode() if stage in TASK_STAGES else ""
    numbers = tuple(int(part) for part in samples.split(",") if part)
    return Lease(stage, entry.decode(), fields[Field.ID.encode()].decode(), numbers, deliveries)
