"""A run's keys as they were: what a promoted replica or a restored snapshot knows of a run."""

from __future__ import annotations

from vapo.ledger import Ledger


class Snapshot:
    """All keys of one run at one moment, streams with their leases included."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._keys = {key: ledger.redis.dump(key) for key in self._now()}

    def restore(self) -> None:
        """Forget whatever was written since."""
        redis = self._ledger.redis
        with redis.pipeline() as pipe:
            for key in self._now():
                pipe.delete(key)
            for key, value in self._keys.items():
                pipe.restore(key, 0, value)
            pipe.execute()

    def _now(self) -> list[bytes]:
        return list(self._ledger.redis.scan_iter(match=f"{self._ledger.keys.prefix}*", count=1000))
