"""Published weight versions: written atomically, announced on a stream, verified before use.

Invariants:
- a version is an integer that rises with every publication, for the life of a run; version 0 is the
  base model and has no folder;
- a version's folder appears under its final name only when all its bytes are on disk (temporary
  name, fsync, rename), and it is announced only after that, with the digest of its manifest;
- a consumer fetches its own file and checks its checksum before it pauses anything;
- consumers skip to the newest version: a late one loads only that.

What serves versions over HTTP (:mod:`vapo.weights.serving`) is not imported here: only the trainer
and the relay need it.
"""

from __future__ import annotations

from vapo.weights.channel import Announcement, WeightChannel
from vapo.weights.errors import SupersededError, WeightsError
from vapo.weights.manifest import ACTOR, CRITIC, MANIFEST, FileEntry, Manifest, sha256_of
from vapo.weights.transport import FileTransport, Transport
from vapo.weights.versions import newest_on_disk, read_manifest, remove_old_versions, version_folder, write_version

__all__ = [
    "ACTOR",
    "CRITIC",
    "MANIFEST",
    "Announcement",
    "FileEntry",
    "FileTransport",
    "Manifest",
    "SupersededError",
    "Transport",
    "WeightChannel",
    "WeightsError",
    "newest_on_disk",
    "read_manifest",
    "remove_old_versions",
    "sha256_of",
    "version_folder",
    "write_version",
]
