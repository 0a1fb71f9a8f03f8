"""All rollouts of a run by the time they were generated, newest first.

Invariant: the index ``newest`` holds every rollout whose record exists, wherever it waits or ended,
so a list can begin at any place in it and miss nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Field, Key, Keys

PAGE = 500
"""Rollouts read in one round trip."""


@dataclass(frozen=True, order=True)
class Cursor:
    """Where a rollout stands in the index."""

    at: float
    """When it was generated, in seconds since the epoch."""
    id: str

    def __str__(self) -> str:
        return f"{self.at!r},{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Inverse of ``str``.

        Raises:
            ValueError: it is none.
        """
        at, comma, rollout_id = text.partition(",")
        if not comma or not math.isfinite(float(at)):
            raise ValueError(f"{text!r} is no place in the list of rollouts")
        return cls(float(at), rollout_id)


@dataclass(frozen=True)
class Look:
    """What a filter needs to know of one rollout."""

    cursor: Cursor
    state: str
    purpose: str


def look_through(redis: RedisClient, keys: Keys, before: Cursor | None = None) -> Iterator[Look]:
    """Rollouts that are older than ``before``, newest first, without their payload."""
    while page := _page(redis, keys, before):
        yield from _looks(redis, keys, page)
        before = page[-1]


def look_at(redis: RedisClient, keys: Keys, rollout_ids: Sequence[str]) -> list[Look]:
    """Those of ``rollout_ids`` that there are, newest first."""
    with redis.pipeline(transaction=False) as pipe:
        for rollout_id in rollout_ids:
            pipe.zscore(keys.named(Key.NEWEST), rollout_id)
        times = pipe.execute()
    cursors = [Cursor(at, rollout_id) for rollout_id, at in zip(rollout_ids, times, strict=True) if at is not None]
    return _looks(redis, keys, sorted(cursors, reverse=True))


def _page(redis: RedisClient, keys: Keys, before: Cursor | None) -> list[Cursor]:
    newest = "+inf" if before is None else repr(before.at)
    first = 0
    while True:
        entries = redis.zrevrangebyscore(keys.named(Key.NEWEST), newest, "-inf", start=first, num=PAGE, withscores=True)
        cursors = [Cursor(at, rollout_id.decode()) for rollout_id, at in entries]
        older = [cursor for cursor in cursors if before is None or cursor < before]
        if older or not cursors:
            return older
        first += PAGE


def _looks(redis: RedisClient, keys: Keys, cursors: Sequence[Cursor]) -> list[Look]:
    with redis.pipeline(transaction=False) as pipe:
        for cursor in cursors:
            pipe.hget(keys.rollout(cursor.id), Field.STATE)
            pipe.hget(keys.task(cursor.id.rpartition(".")[0]), Field.PURPOSE)
        replies = pipe.execute()
    return [
        Look(cursor, state.decode(), purpose.decode())
        for cursor, state, purpose in zip(cursors, replies[::2], replies[1::2], strict=True)
        if state is not None and purpose is not None
    ]
