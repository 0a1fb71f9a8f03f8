"""Folders of weight versions: written complete or not at all, read, and removed when old."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vapo.durable import durable_folder
from vapo.weights.errors import SupersededError
from vapo.weights.manifest import MANIFEST, Manifest, entry_of

NOT_EXECUTABLE = 0o666


def version_folder(directory: Path, version: int) -> Path:
    """Folder of ``version`` under the weights directory."""
    return directory / f"{version:08d}"


def write_version(
    directory: Path,
    version: int,
    step: int,
    writers: Mapping[str, Callable[[Path], object]],
    canary: dict[str, Any] | None = None,
) -> Manifest:
    """Write a version's files and manifest so that it appears complete or not at all.

    Args:
        writers: file name to a function that writes that file at the path it is given.
        canary: token ids and log-probs for consumers to prove their load with.
    """
    with durable_folder(version_folder(directory, version)) as partial:
        for name, write in writers.items():
            write(partial / name)
            _open_to_readers(partial / name)
        files = {name: entry_of(partial / name) for name in writers}
        manifest = Manifest(version, step, files, time.time(), canary or {})
        (partial / MANIFEST).write_text(manifest.dump(), encoding="utf-8")
    return manifest


def _open_to_readers(path: Path) -> None:
    """Give a file the mode its folder's umask allows.

    safetensors writes files that only their owner reads; a consumer may run as another user.
    """
    path.chmod(path.parent.stat().st_mode & NOT_EXECUTABLE)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version's folder.

    Raises:
        SupersededError: there is no such folder (any more).
        WeightsError: the manifest is malformed.
    """
    try:
        return Manifest.parse((folder / MANIFEST).read_text("utf-8"))
    except OSError as error:
        raise SupersededError(
            f"weight version {folder.name} cannot be read at {folder}: {error.strerror}; it was "
            "removed (trainer.keep_weight_versions) or the folder is not shared"
        ) from None


def remove_old_versions(directory: Path, keep: int) -> list[int]:
    """Delete all but the ``keep`` newest versions; returns the numbers deleted."""
    folders = _version_folders(directory)
    old = folders[:-keep] if keep else folders
    for folder in old:
        shutil.rmtree(folder)
    return [int(folder.name) for folder in old]


def newest_on_disk(directory: Path) -> int:
    """The highest version with a folder here, announced or not; 0 if there is none."""
    folders = _version_folders(directory)
    return int(folders[-1].name) if folders else 0


def _version_folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("[0-9]*") if path.name.isdigit())
