"""Weight versions on disk: complete or absent, verified before use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vapo.weights import (
    ACTOR,
    CRITIC,
    MANIFEST,
    FileEntry,
    FileTransport,
    Manifest,
    SupersededError,
    WeightsError,
    remove_old_versions,
    version_folder,
    write_version,
)


def _write(directory: Path, version: int, payload: bytes = b"weights") -> None:
    write_version(directory, version, version * 2, {ACTOR: lambda path: path.write_bytes(payload)})


def test_fetch_returns_what_was_written(tmp_path: Path) -> None:
    _write(tmp_path, 3)
    folder, manifest = FileTransport(tmp_path).fetch(3)
    assert (folder / ACTOR).read_bytes() == b"weights"
    assert (manifest.version, manifest.step) == (3, 6)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    _write(tmp_path, 1)
    folder = version_folder(tmp_path, 1)
    match damage:
        case "flip":
            (folder / ACTOR).write_bytes(b"wEights")
        case "truncate":
            (folder / ACTOR).write_bytes(b"weight")
        case "remove":
            (folder / ACTOR).unlink()
        case "manifest":
            (folder / MANIFEST).write_text("{")
    with pytest.raises(WeightsError):
        FileTransport(tmp_path).fetch(1)


def test_a_consumer_checks_only_its_own_file(tmp_path: Path) -> None:
    write_version(
        tmp_path,
        1,
        1,
        {ACTOR: lambda path: path.write_bytes(b"actor"), CRITIC: lambda path: path.write_bytes(b"critic")},
    )
    (version_folder(tmp_path, 1) / ACTOR).write_bytes(b"damage")
    folder, _ = FileTransport(tmp_path).fetch(1, only=CRITIC)
    assert (folder / CRITIC).read_bytes() == b"critic"
    with pytest.raises(WeightsError, match=ACTOR):
        FileTransport(tmp_path).fetch(1, only=ACTOR)


def test_other_users_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_version(tmp_path, 1, 1, {ACTOR: lambda path: save_file({"x": np.zeros(3)}, path)})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in version_folder(tmp_path, 1).iterdir()}
    assert modes == {ACTOR: 0o644, MANIFEST: 0o644}


@pytest.mark.parametrize("name", ["../actor", "/etc/passwd", "a/b", ".hidden", ""])
def test_a_manifest_cannot_name_files_outside_its_folder(name: str) -> None:
    text = Manifest(1, 1, {name: FileEntry("00", 1)}, 0.0).dump()
    with pytest.raises(WeightsError, match="plain file name"):
        Manifest.parse(text)


def test_a_manifest_keeps_its_digest_over_the_wire(tmp_path: Path) -> None:
    canary = {"token_ids": [1, 2], "log_probs": [-0.1, -2.3e-7]}
    manifest = write_version(tmp_path, 1, 1, {ACTOR: lambda path: path.write_bytes(b"x")}, canary)
    assert Manifest.parse(manifest.dump()).digest == manifest.digest


def test_an_absent_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(SupersededError, match="00000009"):
        FileTransport(tmp_path).fetch(9)


def test_a_writer_that_fails_leaves_nothing_to_be_found(tmp_path: Path) -> None:
    def failing(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_version(tmp_path, 1, 1, {ACTOR: failing})
    assert not version_folder(tmp_path, 1).exists()
    _write(tmp_path, 1)
    assert FileTransport(tmp_path).fetch(1)[1].version == 1


def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    for version in range(1, 6):
        _write(tmp_path, version)
    assert remove_old_versions(tmp_path, keep=2) == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000004", "00000005"]
