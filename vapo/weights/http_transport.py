"""Transport ``http``: for replicas that share no disk with the trainer."""

from __future__ import annotations

from pathlib import Path

from vapo.weights.cache import WeightCache
from vapo.weights.manifest import Manifest
from vapo.weights.source import WeightSource


class HttpTransport:
    """Fetches a consumer's file into a cache on this host and checks it there."""

    def __init__(self, cache: WeightCache, source: WeightSource) -> None:
        self._cache, self._source = cache, source

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """As :class:`vapo.weights.transport.Transport` says."""
        manifest = self._cache.manifest(version)
        for name, entry in manifest.files.items():
            if only in (None, name):
                self._cache.download(version, name, entry).result()
        return self._cache.folder(version), manifest

    @property
    def bytes_fetched(self) -> int:
        """Bytes of files taken from the source in the life of this process."""
        return self._cache.bytes_fetched

    def close(self) -> None:
        """Give up a fetch in progress and refuse later ones."""
        self._cache.close()
        self._source.close()
