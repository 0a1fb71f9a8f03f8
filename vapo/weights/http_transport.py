"""Transport ``http``: for replicas that share no disk with the trainer."""

from __future__ import annotations

import threading
from pathlib import Path

from vapo.weights.cache import WeightCache
from vapo.weights.errors import SourceUnavailableError
from vapo.weights.manifest import Manifest
from vapo.weights.silence import FIRST_PAUSE_SECONDS, Silence
from vapo.weights.source import WeightSource


class HttpTransport:
    """Fetches a consumer's file into a cache on this host and checks it there."""

    def __init__(self, cache: WeightCache, source: WeightSource) -> None:
        self._cache, self._source = cache, source
        self._closed = threading.Event()

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """As :class:`vapo.weights.transport.Transport` says."""
        manifest = self._manifest(version)
        for name, entry in manifest.files.items():
            if only in (None, name):
                self._cache.download(version, name, entry).result()
        return self._cache.folder(version), manifest

    def _manifest(self, version: int) -> Manifest:
        """The manifest, asked for again while the source is silent for no longer than a file's fetch may be."""
        silence, pause = Silence(self._source.stall_seconds, self._closed), FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._cache.manifest(version)
            except SourceUnavailableError as error:
                pause = silence.bear(error, pause)

    @property
    def bytes_fetched(self) -> int:
        """Bytes of files taken from the source in the life of this process."""
        return self._cache.bytes_fetched

    def close(self) -> None:
        """Give up a fetch in progress and refuse later ones."""
        self._closed.set()
        self._cache.close()
        self._source.close()
