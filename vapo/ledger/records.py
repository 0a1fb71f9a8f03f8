"""Reading task and rollout hashes back into records."""

from __future__ import annotations

from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Keys
from vapo.messages import (
    Rollout,
    Task,
    decode_generated,
    decode_mapping,
    decode_task,
    decode_values,
    decode_verdict,
)


@dataclass(frozen=True)
class TaskRecord:
    """A task and how far it is. ``task`` is None once its payload was trimmed."""

    id: str
    task: Task | None
    state: str
    samples: int
    made: int
    """Responses that exist."""
    purpose: str


def read_task(redis: RedisClient, keys: Keys, task_id: str) -> TaskRecord | None:
    """The record of ``task_id``, or None when it was never submitted."""
    raw = redis.hgetall(keys.task(task_id))
    if b"state" not in raw:
        return None
    body = raw.get(b"body")
    return TaskRecord(
        task_id,
        decode_task(body) if body else None,
        raw[b"state"].decode(),
        int(raw[b"samples"]),
        int(raw[b"made"]),
        raw[b"purpose"].decode(),
    )


def read_rollout(redis: RedisClient, keys: Keys, rollout_id: str) -> Rollout | None:
    """The record of ``rollout_id``, or None when it does not exist (any more)."""
    raw = redis.hgetall(keys.rollout(rollout_id))
    if b"generated" not in raw:
        return None
    body = redis.hget(keys.task(raw[b"task"].decode()), "body")
    if body is None:
        return None
    return _rollout(rollout_id, raw, decode_task(body))


def _rollout(rollout_id: str, raw: dict[bytes, bytes], task: Task) -> Rollout:
    dropped = raw.get(b"dropped")
    return Rollout(
        id=rollout_id,
        task=task,
        sample=int(raw[b"sample"]),
        state=raw[b"state"].decode(),
        generated=decode_generated(raw[b"generated"]),
        verdict=decode_verdict(raw[b"verdict"]) if b"verdict" in raw else None,
        values=decode_values(raw[b"values"]) if b"values" in raw else None,
        training=decode_mapping(raw[b"training"]) if b"training" in raw else None,
        dropped=dropped.decode() if dropped else None,
        timestamps={
            name.decode().removesuffix("_at"): float(value)
            for name, value in raw.items()
            if name.endswith(b"_at")
        },
    )
