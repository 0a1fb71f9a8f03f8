"""What runs in a relay process beside the HTTP server: the cache, its source, the heartbeat.

Invariants: the source is the trainer, never another relay; each file is fetched once, however many
replicas ask for it, and only when one does, so a host without value replicas never fetches critics.
"""

from __future__ import annotations

from vapo.ledger.connection import connect
from vapo.ledger.fleet import Member
from vapo.ledger.patience import LOOP_CALL_SECONDS
from vapo.ledger.run_watch import RunWatch
from vapo.service import Endpoint, Part
from vapo.settings import Settings
from vapo.weights.download import FileDownload
from vapo.weights.file_response import ServedBytes
from vapo.weights.from_settings import open_cache, open_source
from vapo.weights.manifest import Manifest
from vapo.weights.rate_limit import TokenBucket


class RelayPart(Part):
    """One host's copy of the announced weights; it needs Redis to know what was announced."""

    def __init__(self, settings: Settings, endpoint: Endpoint) -> None:
        super().__init__(settings, endpoint, RunWatch(settings))
        redis = connect(settings.redis, LOOP_CALL_SECONDS)
        self._source = open_source(settings, redis, relay_url=None)
        self._cache = open_cache(settings, redis, self._source, settings.relay_directory)
        self.limiter = TokenBucket(settings.relay.serve_limit_bytes_per_second)
        self.served = ServedBytes()

    def stop(self) -> None:
        """Give up what is being fetched; it is resumed by the next start."""
        self._cache.close()
        self._source.close()

    def manifest(self, version: int) -> Manifest:
        """The announced manifest of a version (:meth:`vapo.weights.cache.WeightCache.manifest`)."""
        return self._cache.manifest(version)

    def download(self, version: int, name: str) -> FileDownload | None:
        """The download of a file, begun if it is the first to be asked for; None: no such file."""
        entry = self._cache.manifest(version).files.get(name)
        if entry is None:
            return None
        return self._cache.download(version, name, entry, trust_finished=True)

    def numbers(self) -> dict[str, float]:
        """Metrics, also shown in the fleet."""
        versions = self._cache.versions()
        return {
            "bytes_fetched": self._cache.bytes_fetched,
            "bytes_served": self.served.total,
            "versions_cached": len(versions),
            "newest_version": max(versions, default=0),
        }

    def member(self) -> Member:
        """READY, at the newest version it has."""
        numbers = self.numbers()
        return self.endpoint.member("READY", int(numbers["newest_version"]), numbers)
