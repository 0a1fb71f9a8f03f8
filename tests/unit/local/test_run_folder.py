"""The run folder: one stack at a time, secrets for the owner only, the newest run found."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from vapo.local.run_folders.run_folder import RunFolder, RunFolderError, write_secret
from vapo.settings import SecuritySettings, Settings
from vapo.startup import file_trouble


def test_settings_come_back_with_their_secrets_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    secrets = {name: SecretStr(name * 4) for name in SecuritySettings.model_fields}
    settings = Settings(security=SecuritySettings(**secrets))
    folder = RunFolder(tmp_path / "run")
    folder.write_settings(settings)
    assert folder.read_settings() == settings
    assert stat.S_IMODE(folder.settings_file.stat().st_mode) == 0o600


def test_a_folder_is_held_by_one_stack_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    in_use = pytest.raises(RunFolderError, match="in use by another stack")
    with folder.held(), in_use, folder.held():
        pytest.fail("held twice")
    with folder.held():
        assert folder.directory.is_dir()


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="vapo up"):
        RunFolder(tmp_path).read_settings()


def test_a_secret_that_cannot_be_written_leaves_the_old_one_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    write_secret(file, "old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", refuse)
    with pytest.raises(OSError, match="No space") as raised:
        write_secret(file, "new")
    assert file_trouble(raised.value) == (
        f"{file}: No space left on device; free some space, or name a folder on another disk"
    )
    assert [one.name for one in tmp_path.iterdir()] == ["settings.json"]
    assert file.read_text() == "old"
