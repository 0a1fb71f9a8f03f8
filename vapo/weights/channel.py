"""Announcements of weight versions through Redis.

Invariant: who announces a version remembers it, so that a Redis that lost its last writes (a
failover, a restored snapshot) is told again, and the version's step is known meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Key, Keys
from vapo.weights.manifest import Manifest

ANNOUNCEMENTS_KEPT = 1000


@dataclass(frozen=True)
class Announcement:
    """A version that can be fetched."""

    version: int
    step: int


class WeightChannel:
    """Announcements of versions through Redis."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._stream, self._steps = keys.named(Key.WEIGHTS), keys.named(Key.WEIGHT_STEPS)
        self._newest, self._digests = keys.named(Key.WEIGHT_NEWEST), keys.named(Key.WEIGHT_DIGESTS)
        self._announced: Manifest | None = None
        self._own_steps: dict[int, int] = {}

    def announce(self, manifest: Manifest) -> None:
        """Tell all consumers of a version whose files are complete."""
        self._announced, self._own_steps[manifest.version] = manifest, manifest.step
        with self._redis.pipeline() as pipe:
            pipe.hset(self._steps, str(manifest.version), manifest.step)
            pipe.hset(self._digests, str(manifest.version), manifest.digest)
            pipe.set(self._newest, manifest.version)
            pipe.xadd(
                self._stream,
                {"version": manifest.version, "step": manifest.step},
                maxlen=ANNOUNCEMENTS_KEPT,
                approximate=True,
            )
            pipe.execute()

    def announce_if_lost(self) -> bool:
        """Repeat the announcement made here last when Redis does not know of it; whether it was."""
        if self._announced is None:
            return False
        if int(self._redis.get(self._newest) or 0) >= self._announced.version:
            return False
        self.announce(self._announced)
        return True

    def newest(self) -> Announcement | None:
        """The version announced last, or None when only the base model exists."""
        entry = self._last()
        return _announcement(entry[1]) if entry else None

    def wait_newer(self, than: int, block_seconds: float) -> Announcement | None:
        """The newest version above ``than``; waits at most ``block_seconds`` for one."""
        entry = self._last()
        newest = _announcement(entry[1]) if entry else None
        if newest is None or newest.version <= than:
            # After the entry seen, not "$": one announced in between must not be waited for.
            seen = entry[0] if entry else "0"
            milliseconds = max(1, int(block_seconds * 1000))
            self._redis.xread({self._stream: seen}, count=1, block=milliseconds)
            newest = self.newest()
        return newest if newest and newest.version > than else None

    def _last(self) -> tuple[bytes, dict[bytes, bytes]] | None:
        entries = self._redis.xrevrange(self._stream, count=1)
        return entries[0] if entries else None

    def step_of(self, version: int) -> int:
        """Trainer step a version belongs to; 0 for the base model."""
        if version in self._own_steps:
            return self._own_steps[version]
        return int(self._redis.hget(self._steps, str(version)) or 0)

    def digest_of(self, version: int) -> str | None:
        """Digest of the manifest announced for a version; None when it was not announced."""
        digest = self._redis.hget(self._digests, str(version))
        return digest.decode() if digest else None


def _announcement(fields: dict[bytes, bytes]) -> Announcement:
    return Announcement(int(fields[b"version"]), int(fields[b"step"]))
