"""Reading task and rollout hashes back into records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Keys
from vapo.messages import (
    MessageError,
    Rollout,
    Task,
    decode_generated,
    decode_mapping,
    decode_task,
    decode_values,
    decode_verdict,
)

ROLLOUTS_PER_PIPELINE = 64
"""Bounds one answer: about 25 MB where responses have 20k tokens."""


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


def read_rollouts(redis: RedisClient, keys: Keys, rollout_ids: Sequence[str]) -> list[Rollout | MessageError | None]:
    """Records of ``rollout_ids``, in order, in few round trips.

    Returns:
        For each the rollout; None when it does not exist (any more), an error when it is malformed.
    """
    found: list[Rollout | MessageError | None] = []
    for first in range(0, len(rollout_ids), ROLLOUTS_PER_PIPELINE):
        found += _read_some(redis, keys, rollout_ids[first : first + ROLLOUTS_PER_PIPELINE])
    return found


def _read_some(redis: RedisClient, keys: Keys, rollout_ids: Sequence[str]) -> list[Rollout | MessageError | None]:
    with redis.pipeline(transaction=False) as pipe:
        for rollout_id in rollout_ids:
            pipe.hgetall(keys.rollout(rollout_id))
        records = pipe.execute()
        tasks = list({raw[b"task"].decode(): None for raw in records if b"generated" in raw})
        for task_id in tasks:
            pipe.hget(keys.task(task_id), "body")
        bodies = dict(zip(tasks, pipe.execute(), strict=True))
    return [_read_one(rollout_id, raw, bodies) for rollout_id, raw in zip(rollout_ids, records, strict=True)]


def _read_one(
    rollout_id: str, raw: dict[bytes, bytes], bodies: Mapping[str, bytes | None]
) -> Rollout | MessageError | None:
    body = bodies[raw[b"task"].decode()] if b"generated" in raw else None
    if body is None:
        return None
    try:
        return _rollout(rollout_id, raw, decode_task(body))
    except MessageError as error:
        return error


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
            name.decode().removesuffix("_at"): float(value) for name, value in raw.items() if name.endswith(b"_at")
        },
    )
