"""Reading task and rollout hashes back into records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Field, Keys
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

Fields = dict[str, bytes]
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
    raw = _named(redis.hgetall(keys.task(task_id)))
    if Field.STATE not in raw:
        return None
    body = raw.get(Field.BODY)
    return TaskRecord(
        task_id,
        decode_task(body) if body else None,
        raw[Field.STATE].decode(),
        int(raw[Field.SAMPLES]),
        int(raw[Field.MADE]),
        raw[Field.PURPOSE].decode(),
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
        records = [_named(raw) for raw in pipe.execute()]
        tasks = list({raw[Field.TASK].decode(): None for raw in records if Field.GENERATED in raw})
        for task_id in tasks:
            pipe.hget(keys.task(task_id), Field.BODY)
        bodies = dict(zip(tasks, pipe.execute(), strict=True))
    return [_read_one(rollout_id, raw, bodies) for rollout_id, raw in zip(rollout_ids, records, strict=True)]


def _named(raw: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(): value for name, value in raw.items()}


def _read_one(rollout_id: str, raw: Fields, bodies: Mapping[str, bytes | None]) -> Rollout | MessageError | None:
    body = bodies[raw[Field.TASK].decode()] if Field.GENERATED in raw else None
    if body is None:
        return None
    try:
        return _rollout(rollout_id, raw, decode_task(body))
    except MessageError as error:
        return error


def _rollout(rollout_id: str, raw: Fields, task: Task) -> Rollout:
    dropped = raw.get(Field.DROPPED)
    return Rollout(
        id=rollout_id,
        task=task,
        sample=int(raw[Field.SAMPLE]),
        state=raw[Field.STATE].decode(),
        generated=decode_generated(raw[Field.GENERATED]),
        verdict=decode_verdict(raw[Field.VERDICT]) if Field.VERDICT in raw else None,
        values=decode_values(raw[Field.VALUES]) if Field.VALUES in raw else None,
        training=decode_mapping(raw[Field.TRAINING]) if Field.TRAINING in raw else None,
        dropped=dropped.decode() if dropped else None,
        timestamps={
            name.removesuffix(Field.AT_SUFFIX): float(value)
            for name, value in raw.items()
            if name.endswith(Field.AT_SUFFIX)
        },
    )
