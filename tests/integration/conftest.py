"""Fixtures of the tests that need a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ledger_records import close, settings_for
from tests.support.running_redis import RunningRedis
from vapo.ledger import Ledger


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    """One server for all tests that do not kill it; each test uses a run of its own."""
    server = RunningRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RunningRedis]:
    """A server that the test may kill."""
    server = RunningRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_ledger(redis_server: RunningRedis) -> Iterator[Callable[..., Ledger]]:
    """Makes ledgers of fresh runs; arguments are ``section.key=value`` settings."""
    opened: list[Ledger] = []

    def make(*assignments: str) -> Ledger:
        opened.append(Ledger.open(settings_for(redis_server.settings, *assignments)))
        return opened[-1]

    yield make
    for ledger in opened:
        close(ledger)


@pytest.fixture
def ledger(make_ledger: Callable[..., Ledger]) -> Ledger:
    """A ledger of a fresh run."""
    return make_ledger()
