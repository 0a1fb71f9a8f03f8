"""How weight versions travel: one small interface, and its two forms, ``file`` and ``http``."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vapo.weights.errors import SourceUnavailableError, WeightsError
from vapo.weights.manifest import Manifest, matches
from vapo.weights.silence import FIRST_PAUSE_SECONDS, Silence
from vapo.weights.versions import read_manifest, version_folder

if TYPE_CHECKING:  # whoever shares a disk needs no HTTP
    from vapo.weights.cache import WeightCache
    from vapo.weights.source import WeightSource


class Transport(Protocol):
    """How a consumer gets a version's files onto its own disk."""

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """Local folder and manifest of ``version``, checksums verified.

        Args:
            only: the one file the consumer needs; the others are neither fetched nor checked, and
                may be absent. A name the version does not hold fetches nothing. None: all files.

        Raises:
            SupersededError: the version is no longer kept; take the newest.
            WeightsError: it cannot be had, or is damaged.
        """
        ...

    def close(self) -> None:
        """Give up a fetch in progress (it raises WeightsError) and refuse later ones."""
        ...


@dataclass(frozen=True)
class FileTransport:
    """A folder that publisher and consumers share (a disk, a volume, /dev/shm)."""

    directory: Path

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """Check the shared folder's files in place (:class:`Transport`)."""
        folder = version_folder(self.directory, version)
        manifest = read_manifest(folder)
        for name, entry in manifest.files.items():
            if only in (None, name) and not matches(folder / name, entry):
                raise WeightsError(
                    f"{folder / name} is missing or does not match its manifest ({entry.bytes} "
                    f"bytes, sha256 {entry.sha256[:12]}); it was removed or is damaged"
                )
        return folder, manifest

    def close(self) -> None:
        """Nothing to give up: a check in place ends by itself."""


class HttpTransport:
    """For replicas that share no disk with the trainer: fetches into a cache on this host and checks there."""

    def __init__(self, cache: WeightCache, source: WeightSource) -> None:
        self._cache, self._source = cache, source
        self._closed = threading.Event()

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """As :class:`Transport` says."""
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
