"""Locks where there are some, and one line where there are none: all three places."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.run_lock import run_lock
from vapo.file_lock import NoLocksError
from vapo.local.run_folders.run_folder import RunFolder
from vapo.weights.errors import WeightsError
from vapo.weights.host_lock import host_lock


def hold_run(folder: Path) -> None:
    with RunFolder(folder).held():
        pass


def hold_trainer(folder: Path) -> None:
    with run_lock(folder):
        pass


def hold_cache(folder: Path) -> None:
    with host_lock(folder / "lock", 0.0, threading.Event()):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
@pytest.mark.parametrize(
    ("hold", "error"), [(hold_run, NoLocksError), (hold_trainer, NoLocksError), (hold_cache, WeightsError)]
)
def test_a_file_system_without_locks_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hold: Callable[[Path], None], error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        error, match=f"{tmp_path}.* cannot be locked: {os.strerror(number)}; .*name a folder on another disk"
    ):
        hold(tmp_path)


@pytest.mark.parametrize("hold", [hold_run, hold_trainer, hold_cache])
def test_a_lock_is_free_again_afterwards(tmp_path: Path, hold: Callable[[Path], None]) -> None:
    hold(tmp_path)
    hold(tmp_path)
