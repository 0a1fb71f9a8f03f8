"""A real failover: primary, replica and Sentinel; the primary is killed under a ledger in use."""

from __future__ import annotations

import contextlib
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.ledger_records import CORRECT, generated, task
from vapo.ledger import Ledger, Stage
from vapo.local.ports import free_ports
from vapo.local.private_redis import find_binary, server_configuration
from vapo.local.supervision.managed_process import ManagedProcess, ProcessSpec
from vapo.settings import Settings

HOST = "127.0.0.1"
SERVICE = "ledger"


@dataclass
class Pair:
    """A primary and its replica, watched by one Sentinel."""

    processes: dict[str, ManagedProcess]
    ports: dict[str, int]
    password_file: Path

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.ports['sentinel']}/{SERVICE}/0"

    def ask(self, name: str) -> Redis:
        password = None if name == "sentinel" else self.password_file.read_text().strip()
        return Redis(host=HOST, port=self.ports[name], password=password, decode_responses=True)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    password = secrets.token_urlsafe(16)
    (tmp_path / "password").write_text(password + "\n")
    ports = dict(zip(("primary", "replica", "sentinel"), free_ports(3), strict=True))
    pair = Pair({}, ports, tmp_path / "password")
    follow = f"replicaof {HOST} {ports['primary']}\n"
    watch = (
        f"bind {HOST}\nport {ports['sentinel']}\ndir {tmp_path}\n"
        f"sentinel monitor {SERVICE} {HOST} {ports['primary']} 1\n"
        f"sentinel auth-pass {SERVICE} {password}\n"
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
    )
    try:
        for name in ("primary", "replica"):
            (tmp_path / name).mkdir()
            text = server_configuration(HOST, ports[name], tmp_path / name, password)
            extra = f"masterauth {password}\n" + (follow if name == "replica" else "")
            pair.processes[name] = start(tmp_path, name, text + extra)
        wait_until(lambda: pair.ask("replica").info()["master_link_status"] == "up")
        pair.processes["sentinel"] = start(tmp_path, "sentinel", watch, "--sentinel")
        wait_until(lambda: pair.ask("sentinel").sentinel_master(SERVICE)["num-slaves"] == 1)
        yield pair
    finally:
        for process in pair.processes.values():
            process.stop()


def start(folder: Path, name: str, configuration: str, *options: str) -> ManagedProcess:
    file = folder / f"{name}.conf"
    file.write_text(configuration)
    command = (str(find_binary()), str(file), *options)
    return ManagedProcess(ProcessSpec(name, command, folder / f"{name}.log", folder / f"{name}.pid"))


def wait_until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until `done`; a server that does not answer yet is not done."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError):
            if done():
                return
        time.sleep(0.1)
    pytest.fail(f"not so within {seconds:.0f} s")


@pytest.mark.slow
def test_the_ledger_goes_on_with_the_promoted_replica(pair: Pair, settings: Settings) -> None:
    found = {"url": pair.url, "password_file": pair.password_file}
    settings = Settings.model_validate({**settings.model_dump(), "redis": found})
    ledger = Ledger.open(settings)
    ledger.submit([task("before", 2)])
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    assert ledger.record_generated("before", 0, generated())
    # The replica has it all: what a failover keeps is what was replicated.
    assert ledger.redis.wait(1, 10_000) == 1

    primary = pair.processes["primary"]
    primary.kill()
    assert primary.wait(10) == 128 + signal.SIGKILL

    # The same client, its next call: scripts, streams and the lease are there.
    assert ledger.record_generated("before", 1, generated())
    assert ledger.finish_task_lease(lease)
    assert ledger.submit([task("after", 1)])[0]
    assert not ledger.submit([task("before", 2)])[0], "the idempotency key was forgotten"
    held = ledger.lease(Stage.GENERATED, "verifier", 2, 1.0)
    assert [one.id for one in held] == ["before.0", "before.1"]
    for one in held:
        rollout = ledger.rollout(one.id)
        assert rollout is not None
        assert ledger.record_verdicts([(one, rollout, CORRECT)])
    assert pair.ask("replica").role()[0] == "master"
    ledger.redis.close()
