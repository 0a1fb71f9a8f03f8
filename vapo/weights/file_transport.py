"""Transport ``file``: a folder that publisher and consumers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vapo.weights.errors import WeightsError
from vapo.weights.manifest import Manifest, matches
from vapo.weights.versions import read_manifest, version_folder


@dataclass(frozen=True)
class FileTransport:
    """A folder that publisher and consumers share (a disk, a volume, /dev/shm)."""

    directory: Path

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """Check the shared folder's files in place (:class:`vapo.weights.transport.Transport`)."""
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
