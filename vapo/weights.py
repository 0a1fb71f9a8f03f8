"""Published weight versions: written atomically, announced on a stream, verified before use.

Invariants:
- a version is an integer that rises with every publication, for the life of a run; version 0 is the
  base model and has no folder;
- a version's folder appears under its final name only when all its bytes are on disk (temporary
  name, fsync, rename), and it is announced only after that;
- a consumer fetches and checks every checksum before it pauses anything;
- consumers skip to the newest version: a late one loads only that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vapo.durable import durable_folder
from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Keys

MANIFEST = "manifest.json"
ACTOR, CRITIC = "actor.safetensors", "critic.safetensors"
HASH_CHUNK_BYTES = 1 << 20
ANNOUNCEMENTS_KEPT = 1000


class WeightsError(RuntimeError):
    """A published version is missing, incomplete or damaged; the text names file and remedy."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a version."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a version holds."""

    version: int
    step: int
    """Rollout steps the trainer had done; staleness is counted in these."""
    files: dict[str, FileEntry]
    created_at: float
    canary: dict[str, Any] = field(default_factory=dict)
    """Token ids and the trainer's log-probs of them, with which a generator proves its load."""

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read a manifest. Raises WeightsError when malformed."""
        try:
            raw = json.loads(text)
            files = {name: FileEntry(**entry) for name, entry in raw.pop("files").items()}
            return cls(files=files, **raw)
        except (ValueError, TypeError, KeyError) as error:
            raise WeightsError(f"malformed weight manifest: {error!r}") from None


class Transport(Protocol):
    """How a consumer gets a version's files onto its own disk."""

    def fetch(self, version: int) -> tuple[Path, Manifest]:
        """Local folder and manifest of ``version``, all checksums verified."""
        ...


@dataclass(frozen=True)
class FileTransport:
    """A folder that publisher and consumers share (a disk, a volume, /dev/shm)."""

    directory: Path

    def fetch(self, version: int) -> tuple[Path, Manifest]:
        """Check the shared folder's files in place. Raises WeightsError."""
        folder = version_folder(self.directory, version)
        manifest = read_manifest(folder)
        for name, entry in manifest.files.items():
            _check(folder / name, entry)
        return folder, manifest


@dataclass(frozen=True)
class Announcement:
    """A version that can be fetched."""

    version: int
    step: int


class WeightChannel:
    """Announcements of versions through Redis."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._stream, self._steps = keys.named("weights"), keys.named("weight_steps")
        self._newest = keys.named("weight_newest")

    def announce(self, manifest: Manifest) -> None:
        """Tell all consumers of a version whose files are complete."""
        with self._redis.pipeline() as pipe:
            pipe.hset(self._steps, str(manifest.version), manifest.step)
            pipe.set(self._newest, manifest.version)
            pipe.xadd(self._stream, {"version": manifest.version, "step": manifest.step},
                      maxlen=ANNOUNCEMENTS_KEPT, approximate=True)
            pipe.execute()

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
        return int(self._redis.hget(self._steps, str(version)) or 0)


def _announcement(fields: dict[bytes, bytes]) -> Announcement:
    return Announcement(int(fields[b"version"]), int(fields[b"step"]))


def version_folder(directory: Path, version: int) -> Path:
    """Folder of ``version`` under the weights directory."""
    return directory / f"{version:08d}"


def write_version(directory: Path, version: int, step: int,
                  writers: dict[str, Callable[[Path], None]],
                  canary: dict[str, Any] | None = None) -> Manifest:
    """Write a version's files and manifest so that it appears complete or not at all.

    Args:
        writers: file name to a function that writes that file at the path it is given.
        canary: token ids and log-probs for consumers to prove their load with.
    """
    with durable_folder(version_folder(directory, version)) as partial:
        for name, write in writers.items():
            write(partial / name)
        files = {name: _entry(partial / name) for name in writers}
        manifest = Manifest(version, step, files, time.time(), canary or {})
        (partial / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version's folder. Raises WeightsError when it is missing or malformed."""
    try:
        return Manifest.parse((folder / MANIFEST).read_text("utf-8"))
    except OSError as error:
        raise WeightsError(
            f"weight version {folder.name} cannot be read at {folder}: {error.strerror}; it was "
            "removed (trainer.keep_weight_versions) or the folder is not shared") from None


def remove_old_versions(directory: Path, keep: int) -> list[int]:
    """Delete all but the ``keep`` newest versions; returns the numbers deleted."""
    folders = sorted(path for path in directory.glob("[0-9]*") if path.name.isdigit())
    old = folders[:-keep] if keep else folders
    for folder in old:
        shutil.rmtree(folder)
    return [int(folder.name) for folder in old]


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check(path: Path, entry: FileEntry) -> None:
    if not path.is_file() or path.stat().st_size != entry.bytes or sha256_of(path) != entry.sha256:
        raise WeightsError(f"{path} is missing or does not match its manifest ({entry.bytes} "
                           f"bytes, sha256 {entry.sha256[:12]}); it was removed or is damaged")


def _entry(path: Path) -> FileEntry:
    return FileEntry(sha256_of(path), path.stat().st_size)
