"""The fleet: which parts are alive, where, and under which weight version.

Invariants:
- a member is DEAD once three heartbeats are missing, whatever it last said of itself; the one clock
  is Redis's, so that hosts whose clocks differ agree on who lives;
- a dead member is shown until another of its part has started in its place, one for one, or for
  :data:`FORGET_SECONDS`; then it is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Key, Keys

MISSED_HEARTBEATS = 3
FORGET_SECONDS = 600.0
DEAD = "DEAD"


@dataclass(frozen=True)
class Member:
    """One running part."""

    name: str
    part: str
    url: str
    state: str
    """STALE, LOADING, READY; UNREADY where ``reason`` says why; DEAD when its heartbeat stopped."""
    weight_version: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    seen_at: float = 0.0
    """Seconds since the epoch, by Redis's clock."""
    since: float = 0.0
    """When its first heartbeat came, by the same clock."""
    reason: str = ""
    """What keeps it from working; empty when nothing does."""


class Fleet:
    """Heartbeats of a run's parts."""

    def __init__(self, redis: RedisClient, keys: Keys, heartbeat_seconds: float) -> None:
        self._redis, self._key = redis, keys.named(Key.FLEET)
        self._limit = MISSED_HEARTBEATS * heartbeat_seconds
        self._since: dict[str, float] = {}

    def beat(self, member: Member) -> None:
        """Say that ``member`` is alive."""
        now = self.now()
        if member.name not in self._since:
            self._since[member.name] = now
            self._forget(now)
        seen = replace(member, seen_at=now, since=self._since[member.name])
        self._redis.hset(self._key, member.name, json.dumps(asdict(seen)))

    def leave(self, name: str) -> None:
        """Say goodbye: a clean shutdown is not a death."""
        self._redis.hdel(self._key, name)

    def clear(self) -> None:
        """Forget all members, as a run starts again; the living say so with their next beat."""
        self._redis.delete(self._key)

    def members(self, part: str | None = None) -> list[Member]:
        """All members, or those of one part, by name."""
        now = self.now()
        found = [Member(**json.loads(raw)) for raw in self._redis.hvals(self._key)]
        judged = [
            self._judged(member, now)
            for member in found
            if now - member.seen_at < FORGET_SECONDS and part in (None, member.part)
        ]
        return sorted(without_replaced(judged), key=lambda member: member.name)

    def alive(self, part: str) -> list[Member]:
        """The members of one part that live, by name."""
        return [member for member in self.members(part) if member.state != DEAD]

    def now(self) -> float:
        """Seconds since the epoch, by Redis's clock."""
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def _judged(self, member: Member, now: float) -> Member:
        return replace(member, state=DEAD) if now - member.seen_at > self._limit else member

    def _forget(self, now: float) -> None:
        """Remove what nobody is shown any more."""
        for name, raw in self._redis.hgetall(self._key).items():
            if now - json.loads(raw)["seen_at"] >= FORGET_SECONDS:
                self._redis.hdel(self._key, name)


def without_replaced(members: Sequence[Member]) -> list[Member]:
    """``members`` without the dead in whose place another of their part has started since.

    One that lives replaces one dead: that of its own address if there is one, else the one that
    died last before it started.
    """
    left = {member.name: member for member in members}
    living = [member for member in members if member.state != DEAD]
    for same_address in (True, False):
        for one in sorted(living, key=lambda member: member.since):
            dead = [
                other
                for other in left.values()
                if other.state == DEAD
                and other.part == one.part
                and other.seen_at <= one.since
                and (not same_address or other.url == one.url)
            ]
            for gone in dead if same_address else sorted(dead, key=_seen)[-1:]:
                del left[gone.name]
                living = [member for member in living if member.name != one.name]
    return list(left.values())


def _seen(member: Member) -> float:
    return member.seen_at
