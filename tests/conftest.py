"""Fixtures all tests share: a real Redis, a fresh run in it for each test, and parts as processes.

Invariant: whatever a fixture starts is gone when the test session ends, also when it is killed.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.parallel import pytest_collection_modifyitems, pytest_xdist_auto_num_workers  # noqa: F401 - hooks
from tests.support.parts import Parts
from vapo.ledger import Ledger
from vapo.local.environment import CPU_DEFAULTS, OFFLINE_DEFAULTS
from vapo.local.ports import free_ports
from vapo.local.private_redis import PrivateRedis, prepare, process_spec, wait_ready
from vapo.local.supervision.supervisor import Supervisor
from vapo.settings import Settings

# Before any test module imports torch: one thread, so that tests share the cores as parts do.
for _name, _value in {**CPU_DEFAULTS, **OFFLINE_DEFAULTS}.items():
    os.environ.setdefault(_name, _value)

# How long an example takes tells how busy the machine is, not whether the code is right.
# The same examples in every run, so that a failure is the change's and can be repeated;
# HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("vapo", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "vapo"))


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What killed processes leave among temporary files lies with pytest's own, which are removed later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("t")))  # short: the names of sockets are bounded
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A private Redis for the whole session. Tests that harm it start one of their own."""
    folder = tmp_path_factory.mktemp("redis")
    server = prepare(folder / "data")
    supervisor = Supervisor(print)
    supervisor.start([process_spec(server, folder / "redis.log", folder / "redis.pid")])
    try:
        wait_ready(server)
        yield server
    finally:
        supervisor.stop()


@pytest.fixture
def settings(tmp_path: Path, redis_server: PrivateRedis) -> Settings:
    """Default settings of a run no other test shares; change them with `model_copy(update=...)`."""
    run = {"name": f"test-{uuid.uuid4().hex[:12]}", "directory": tmp_path / "run"}
    return Settings.model_validate({"run": run, "redis": redis_server.settings.model_dump()})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger of this test's run; its keys are deleted afterwards."""
    ledger = Ledger.open(settings)
    yield ledger
    keys = list(ledger.redis.scan_iter(match=f"{ledger.keys.prefix}*", count=1000))
    if keys:
        ledger.redis.delete(*keys)
    ledger.redis.close()


@pytest.fixture
def free_port() -> int:
    """A TCP port free on loopback."""
    return free_ports(1)[0]


@pytest.fixture
def parts(tmp_path: Path, settings: Settings) -> Iterator[Parts]:
    """Starts parts as processes on this test's run: `parts.start("services.verifier")`."""
    parts = Parts(settings, tmp_path / "parts")
    yield parts
    parts.stop()
