"""Fixtures of the tests of the ledger and the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ledger_records import close, settings_for
from tests.support.running_redis import RunningRedis
from vapo.ledger import Ledger
from vapo.redis_server import PrivateRedis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RunningRedis]:
    """A server that the test may kill."""
    server = RunningRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_ledger(redis_server: PrivateRedis) -> Iterator[Callable[..., Ledger]]:
    """Makes ledgers of fresh runs with small limits; arguments are ``section.key=value``."""
    opened: list[Ledger] = []

    def make(*assignments: str) -> Ledger:
        opened.append(Ledger.open(settings_for(redis_server.settings, *assignments)))
        return opened[-1]

    yield make
    for ledger in opened:
        close(ledger)
