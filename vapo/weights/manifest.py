"""What a version holds: its files with size and checksum, its step, and proof for consumers.

Invariant: a file's name is a plain name, so that no manifest can point outside its own folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vapo.weights.errors import WeightsError

MANIFEST = "manifest.json"
ACTOR, CRITIC = "actor.safetensors", "critic.safetensors"
HASH_CHUNK_BYTES = 1 << 20
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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
            manifest = cls(files=files, **raw)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeightsError(f"malformed weight manifest: {error!r}") from None
        for name in files:
            if not PLAIN_NAME.fullmatch(name):
                raise WeightsError(f"malformed weight manifest: {name!r} is no plain file name")
        return manifest

    def dump(self) -> str:
        """The text :meth:`parse` reads; the same for equal manifests, wherever it is made."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def digest(self) -> str:
        """SHA-256 of :meth:`dump`, announced with the version."""
        return hashlib.sha256(self.dump().encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def entry_of(path: Path) -> FileEntry:
    """Checksum and size of a file as it is now."""
    return FileEntry(sha256_of(path), path.stat().st_size)


def matches(path: Path, entry: FileEntry) -> bool:
    """Whether the file is there and holds exactly the bytes the manifest promises."""
    return path.is_file() and path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256
