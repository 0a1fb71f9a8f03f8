"""``vapo audit`` of runs that are live, stopped, moved, or have lost something."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil
import pytest

from tests.integration.ledger.test_ledger_moves import make_generated
from tests.support.ledger_records import close, settings_for, task
from vapo.cli.dispatch import main
from vapo.ledger import Ledger, Stage
from vapo.local.private_redis import prepare, process_spec, wait_ready
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.supervision.supervisor import Supervisor


@contextmanager
def _live(folder: RunFolder) -> Iterator[Ledger]:
    """A run's private Redis in its folder, and its ledger."""
    server = prepare(folder.redis_directory)
    supervisor = Supervisor(lambda message: None)
    spec = process_spec(server, folder.log_file("redis"), folder.pid_file("redis"))
    supervisor.start([spec])
    try:
        wait_ready(server)
        settings = settings_for(
            server.settings, f"run.name={folder.directory.name}", f"run.directory={folder.directory}"
        )
        folder.write_settings(settings)
        ledger = Ledger.open(settings)
        yield ledger
        close(ledger)
    finally:
        supervisor.stop()


def _busy(ledger: Ledger) -> None:
    """Some samples wait, some are leased, some are in a queue."""
    make_generated(ledger, "done", samples=3)
    ledger.lease(Stage.GENERATED, "verifier", 2, 0)
    ledger.submit([task(f"waiting-{number}", 2) for number in range(20)])
    ledger.lease_tasks("generator", 3, version=0)


def _files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _audit(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, object]]:
    status = main(["audit", *options])
    return status, json.loads(capsys.readouterr().out or "{}")


PLACES = {"generated": 3, "to be generated": 40}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    return RunFolder(tmp_path / "runs" / "mine")


def test_a_live_run_has_lost_nothing(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with _live(folder) as ledger:
        _busy(ledger)
        assert _audit(capsys) == (0, {"places": PLACES, "lost": 0, "lost_ids": []})
        assert _audit(capsys, "--config", str(folder.settings_file))[1]["lost"] == 0


@pytest.mark.parametrize("named", [[], ["--run", "mine"], ["--run", "runs/mine"]])
def test_a_stopped_run_is_read_and_not_changed(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], named: list[str]
) -> None:
    with _live(folder) as ledger:
        _busy(ledger)
    before, processes = _files(folder.directory), len(psutil.Process().children(recursive=True))
    assert _audit(capsys, *named) == (0, {"places": PLACES, "lost": 0, "lost_ids": []})
    assert _files(folder.directory) == before
    assert len(psutil.Process().children(recursive=True)) == processes


def test_a_folder_that_was_moved_is_read_where_it_is(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with _live(folder) as ledger:
        _busy(ledger)
    moved = folder.directory.rename(folder.directory.with_name("moved"))
    assert _audit(capsys, "--run", str(moved))[1] == {"places": PLACES, "lost": 0, "lost_ids": []}


@pytest.mark.parametrize("original_runs", [False, True])
def test_a_copy_is_read_as_it_is_whatever_became_of_its_original(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], original_runs: bool
) -> None:
    with _live(folder) as ledger:
        _busy(ledger)
    copy = shutil.copytree(folder.directory, folder.directory.with_name("copy"))
    with _live(folder) if original_runs else nullcontext() as ledger:
        if ledger is not None:
            ledger.submit([task("later", 2)])
        told = _audit(capsys, "--run", str(copy))[1]
    assert told == {"places": PLACES, "lost": 0, "lost_ids": []}


def test_a_loss_is_said_and_is_status_1(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with _live(folder) as ledger:
        _busy(ledger)
        ledger.redis.xtrim(ledger.keys.stream(Stage.GENERATED), maxlen=0, approximate=False)
    status, told = _audit(capsys, "--run", "mine")
    assert (status, told["lost"]) == (1, 3)
    assert sorted(told["lost_ids"]) == ["done.0", "done.1", "done.2"]


def test_what_cannot_be_read_is_never_called_healthy(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with _live(folder) as ledger:
        assert main(["audit", "--config", str(folder.settings_file), "--set", "run.name=x"]) == 1
        assert "holds nothing of 'x'" in capsys.readouterr().err
        assert ledger.redis.keys("vapo:{x}:*") == []
    for file in folder.redis_directory.glob("append*"):
        file.rename(folder.directory / file.name)
    assert main(["audit", "--run", "mine"]) == 1
    assert "holds no data of a private Redis" in capsys.readouterr().err
    assert main(["audit", "--run", "mine", "--set", "run.name=x"]) == 1
    assert "leave out it or --set" in capsys.readouterr().err
