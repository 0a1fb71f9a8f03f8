"""Runs in folders with odd names and on machines with odd ones for temporary files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.generator.engine.socket_folder import LONGEST_PATH, VARIABLE, fits, socket_folder
from tests.integration.local.test_up import RUN
from tests.support.parts import Parts
from tests.support.running_redis import RunningRedis
from tests.support.stand_in_stack import read_until, started
from vapo.ledger.connection import connect
from vapo.startup import StartupError

NAMES = [
    'say "so"',
    "it's",
    "back\\slash \\n",
    "two  spaces ",
    "täglich",
    "new\nline",
    "$HOME #1",
    "\\x41",
    "tab\there",
    "percent %d",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_private_redis_keeps_its_data_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "redis"
    for expected in (1, 2):
        server = RunningRedis(folder)
        server.start()
        try:
            client = connect(server.settings)
            assert client.incr("starts") == expected
            assert list(folder.glob("appendonly*"))
            client.close()
        finally:
            server.stop()


@pytest.mark.parametrize("name", [NAMES[0], NAMES[5]])
def test_a_stack_runs_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with started(RUN, folder) as running:
        read_until(running, "Ctrl-C stops everything")
        assert (folder / "runs" / "a" / "logs" / "redis.log").exists()
        running.terminate()
        assert running.wait(30) == 130


@pytest.mark.parametrize("length", range(60, 110, 7))
def test_sockets_have_a_short_path_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    folder = "/tmp/" + "x" * (length - 5)  # noqa: S108 - only its length matters
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: folder)
    with socket_folder():
        base = os.environ.get(VARIABLE, folder)
        assert len(base) + 37 <= LONGEST_PATH
        assert (base == folder) == fits(folder)
        assert base == folder or Path(base).stat().st_mode & 0o777 == 0o700
    assert VARIABLE not in os.environ
    assert not Path(base).exists()


def test_a_folder_for_sockets_that_is_named_and_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/" + "x" * 100)
    with pytest.raises(StartupError, match=f"{VARIABLE}=/x.* is too long"), socket_folder():
        pytest.fail("used")


@pytest.mark.slow
@pytest.mark.vllm
def test_a_generator_starts_with_a_long_folder_for_temporary_files(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("temporary " * 20)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    parts.start("services.generator", "generator.cpu_kv_cache_gib=0.1")
