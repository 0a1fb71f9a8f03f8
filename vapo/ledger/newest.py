"""All rollouts of a run by the time they were generated, newest first.

Invariant: the index ``newest`` holds every rollout whose record exists, wherever it waits or ended,
so a list can begin at any place in it and miss nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Keys

PAGE = 500
"""Places read in one round trip."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a rollout stands in the index."""

    at: float
    """When it was generated, in seconds since the epoch."""
    id: str

    def __str__(self) -> str:
        return f"{self.at!r},{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Inverse of ``str``.

        Raises:
            ValueError: it is no place.
        """
        at, comma, rollout_id = text.partition(",")
        if not comma or not math.isfinite(float(at)):
            raise ValueError(f"{text!r} is no place in the list of rollouts")
        return cls(float(at), rollout_id)


@dataclass(frozen=True)
class Look:
    """What a filter needs to know of one rollout."""

    place: Place
    state: str
    purpose: str


def look_through(redis: RedisClient, keys: Keys, before: Place | None = None) -> Iterator[Look]:
    """Rollouts that are older than ``before``, newest first, without their payload."""
    while page := _page(redis, keys, before):
        yield from _looks(redis, keys, page)
        before = page[-1]


def look_at(redis: RedisClient, keys: Keys, rollout_ids: Sequence[str]) -> list[Look]:
    """Those of ``rollout_ids`` that there are, newest first."""
    with redis.pipeline(transaction=False) as pipe:
        for rollout_id in rollout_ids:
            pipe.zscore(keys.named("newest"), rollout_id)
        times = pipe.execute()
    places = [Place(at, rollout_id) for rollout_id, at in zip(rollout_ids, times, strict=True) if at is not None]
    return _looks(redis, keys, sorted(places, reverse=True))


def _page(redis: RedisClient, keys: Keys, before: Place | None) -> list[Place]:
    newest = "+inf" if before is None else repr(before.at)
    first = 0
    while True:
        entries = redis.zrevrangebyscore(keys.named("newest"), newest, "-inf", start=first, num=PAGE, withscores=True)
        places = [Place(at, rollout_id.decode()) for rollout_id, at in entries]
        older = [place for place in places if before is None or place < before]
        if older or not places:
            return older
        first += PAGE


def _looks(redis: RedisClient, keys: Keys, places: Sequence[Place]) -> list[Look]:
    with redis.pipeline(transaction=False) as pipe:
        for place in places:
            pipe.hget(keys.rollout(place.id), "state")
            pipe.hget(keys.task(place.id.rpartition(".")[0]), "purpose")
        replies = pipe.execute()
    return [
        Look(place, state.decode(), purpose.decode())
        for place, state, purpose in zip(places, replies[::2], replies[1::2], strict=True)
        if state is not None and purpose is not None
    ]
