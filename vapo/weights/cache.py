"""Versions fetched over HTTP, on this host's disk.

Invariants:
- a version is used only when its manifest is the one that was announced in Redis, so neither an
  older life of the run nor a changed manifest is ever taken for it;
- one file is fetched by at most one download at a time;
- the most recently used versions are kept.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vapo.settings import WeightsSettings
from vapo.weights.download import DamagedError, FileDownload
from vapo.weights.errors import WeightsError
from vapo.weights.manifest import MANIFEST, FileEntry, Manifest
from vapo.weights.rate_limit import TokenBucket
from vapo.weights.source import WeightSource
from vapo.weights.versions import read_manifest, version_folder

DAMAGED_SECONDS = 60.0
"""A file that was refused is not fetched again for this long: it would fill the uplink."""


class WeightCache:
    """A folder of fetched versions.

    Args:
        digest_of: digest of the manifest announced for a version, None when there was none.
    """

    def __init__(
        self, directory: Path, source: WeightSource, digest_of: Callable[[int], str | None], settings: WeightsSettings
    ) -> None:
        self._directory, self._source = directory, source
        self._digest_of, self._settings = digest_of, settings
        self._limiter = TokenBucket(settings.fetch_limit_bytes_per_second)
        self._lock = threading.Lock()
        self._downloads: dict[Path, FileDownload] = {}
        self._earlier_bytes = 0
        self._closed = False

    def manifest(self, version: int) -> Manifest:
        """The announced manifest of a version, from the cache or from the source.

        Raises:
            SupersededError: the source no longer has it.
            WeightsError: it cannot be had, or is not the one that was announced.
        """
        announced = self._digest_of(version)
        manifest = self._kept(version)
        new = manifest is None or manifest.digest != announced
        if manifest is None or new:
            manifest = self._asked(version, announced)
        try:
            self._keep(manifest, write=new)
        except OSError as error:
            raise WeightsError(
                f"cannot write {self.folder(version)}: {error.strerror}; it needs "
                "room for the weights, and this user's leave to write"
            ) from None
        return manifest

    def download(self, version: int, name: str, entry: FileEntry, trust_finished: bool = False) -> FileDownload:
        """The download of a file: one that runs, or a new one, which resumes the last.

        Args:
            trust_finished: a file that this process has checked is not checked again.

        Raises:
            WeightsError: the cache was closed.
        """
        final = self.folder(version) / name
        with self._lock:
            if self._closed:
                raise WeightsError("no weights are fetched: this part is stopping")
            current = self._downloads.get(final)
            if current and current.entry == entry and self._usable(current, final, trust_finished):
                return current
            if current:
                self._earlier_bytes += current.bytes_fetched
            new = FileDownload(self._source, version, entry, final, self._settings, self._limiter)
            self._downloads[final] = new
        new.start()
        return new

    def _usable(self, download: FileDownload, final: Path, trust_finished: bool) -> bool:
        if download.over_at is None:
            return True
        if isinstance(download.error, DamagedError):
            return time.monotonic() - download.over_at < DAMAGED_SECONDS
        return trust_finished and download.error is None and final.exists()

    def folder(self, version: int) -> Path:
        """Where a version's files lie."""
        return version_folder(self._directory, version)

    def versions(self) -> list[int]:
        """Numbers of the versions in the cache, complete or not."""
        return sorted(int(path.parent.name) for path in self._directory.glob(f"[0-9]*/{MANIFEST}"))

    @property
    def bytes_fetched(self) -> int:
        """Bytes of files taken from the source in the life of this process."""
        with self._lock:
            running = sum(one.bytes_fetched for one in self._downloads.values())
            return self._earlier_bytes + running

    def close(self) -> None:
        """Give up what is being fetched."""
        with self._lock:
            self._closed = True
            downloads = list(self._downloads.values())
        for download in downloads:
            if download.over_at is None:
                download.halt()

    def _kept(self, version: int) -> Manifest | None:
        try:
            return read_manifest(self.folder(version))
        except WeightsError:
            return None

    def _asked(self, version: int, announced: str | None) -> Manifest:
        manifest = self._source.manifest(version)
        if manifest.version != version or announced not in (None, manifest.digest):
            raise WeightsError(
                f"the source's manifest of version {version} is not the one that "
                "was announced; does it serve another run?"
            )
        return manifest

    def _keep(self, manifest: Manifest, write: bool) -> None:
        """Mark a version as used just now, and remove those not used for the longest time."""
        folder = self.folder(manifest.version)
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".{MANIFEST}.{os.getpid()}.{threading.get_ident()}"
            temporary.write_text(manifest.dump(), encoding="utf-8")
            temporary.rename(folder / MANIFEST)
        os.utime(folder / MANIFEST)
        used = sorted(self._directory.glob(f"[0-9]*/{MANIFEST}"), key=_modified, reverse=True)
        for kept in used[self._settings.cache_versions :]:
            shutil.rmtree(kept.parent, ignore_errors=True)
            self._forget(kept.parent)

    def _forget(self, folder: Path) -> None:
        with self._lock:
            for final in [path for path in self._downloads if path.parent == folder]:
                gone = self._downloads.pop(final)
                self._earlier_bytes += gone.bytes_fetched
                if gone.over_at is None:
                    gone.halt()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
