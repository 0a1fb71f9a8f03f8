"""The private Redis with its real binary: password, durability across SIGKILL, and its end."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from vapo.ledger.connection import connect
from vapo.local.private_redis import PrivateRedis, find_binary, prepare, process_spec, wait_ready
from vapo.local.supervision.supervisor import Supervisor


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[PrivateRedis, Supervisor]]:
    server = prepare(tmp_path / "redis")
    supervisor = Supervisor(lambda message: None)
    supervisor.start([process_spec(server, tmp_path / "redis.log", tmp_path / "redis.pid")])
    wait_ready(server)
    yield server, supervisor
    supervisor.stop()


def test_the_password_is_asked_for_and_is_on_no_command_line(supervised: tuple[PrivateRedis, Supervisor]) -> None:
    server, supervisor = supervised
    with Redis(port=server.port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    password = server.password_file.read_text().strip()
    pid = supervisor.pids()["redis"]
    assert pid is not None
    assert len(password) >= 32
    assert password not in " ".join(psutil.Process(pid).cmdline())
    for file in (server.password_file, server.config_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_data_survives_sigkill_at_the_same_address(supervised: tuple[PrivateRedis, Supervisor]) -> None:
    server, supervisor = supervised
    client = connect(server.settings)
    client.xadd("stream", {"rollout": "task.0"})
    # appendfsync everysec guards against a machine that stops; a process that is killed loses
    # nothing written.
    pid = supervisor.pids()["redis"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert client.xlen("stream") == 1
    assert supervisor.restarts() == {"redis": 1}
    client.close()


def test_a_later_start_on_the_same_folder_finds_the_data(tmp_path: Path) -> None:
    for expected in (1, 2):
        server = prepare(tmp_path / "redis")
        supervisor = Supervisor(lambda message: None)
        supervisor.start([process_spec(server, tmp_path / "redis.log", tmp_path / "redis.pid")])
        wait_ready(server)
        client = connect(server.settings)
        assert client.incr("starts") == expected
        client.close()
        stopping = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - stopping < 5.0


def test_an_old_server_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=00000000:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_binary() != old
    old.write_text("#!/bin/sh\necho 'Redis server v=7.4.1 sha=00000000:0'\n")
    assert find_binary() == old
