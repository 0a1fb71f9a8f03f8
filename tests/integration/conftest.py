"""Fixtures of the tests of the ledger and the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ledger_records import close, settings_for
from tests.support.running_gateway import RunningGateway, gateway_settings
from tests.support.running_redis import RunningRedis
from vapo.ledger import Ledger
from vapo.local.private_redis import PrivateRedis


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


@pytest.fixture
def make_gateway(redis_server: PrivateRedis, tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Serves gateways of fresh runs; arguments are ``section.key=value`` settings."""
    with ExitStack() as running:

        def make(*assignments: str) -> RunningGateway:
            settings = gateway_settings(redis_server.settings, tmp_path / "run", *assignments)
            return running.enter_context(RunningGateway(settings))

        yield make


@pytest.fixture
def gateway(make_gateway: Callable[..., RunningGateway]) -> RunningGateway:
    """A gateway of a fresh run."""
    return make_gateway()
