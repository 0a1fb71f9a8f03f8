"""`vapo doctor` about a Redis that settings name."""

from __future__ import annotations

import argparse
import json

import pytest

from tests.support.running_redis import RunningRedis
from vapo.cli.commands.doctor import add_arguments, run
from vapo.cli.redis_findings import findings_of
from vapo.ledger.connection import connect
from vapo.settings import RedisSettings


def test_a_redis_that_is_set_right_is_said_to_be(own_redis: RunningRedis) -> None:
    [(level, text)] = findings_of(own_redis.settings)
    assert level == "ok"
    assert own_redis.settings.url in text


@pytest.mark.parametrize(
    ("option", "value", "level", "said"),
    [
        ("maxmemory-policy", "allkeys-lfu", "error", "maxmemory-policy=allkeys-lfu"),
        ("appendonly", "no", "warning", "appendonly yes"),
        ("maxmemory", "1", "error", "it is full"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    own_redis: RunningRedis, option: str, value: str, level: str, said: str
) -> None:
    client = connect(own_redis.settings, 1.0)
    client.config_set(option, value)
    client.close()
    found = findings_of(own_redis.settings)
    assert [(level, said in text) for level, text in found] == [(level, True)]


def test_where_nothing_may_be_asked_that_is_said(own_redis: RunningRedis) -> None:
    """As a managed service may be: neither INFO nor CONFIG."""
    client = connect(own_redis.settings, 1.0)
    client.execute_command("ACL", "SETUSER", "default", "-info", "-config")
    client.close()
    found = findings_of(own_redis.settings)
    assert {level for level, _ in found} == {"warning"}
    assert sum("could not be looked at" in text for _, text in found) == 3


def test_without_a_named_redis_only_the_machine_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args(["--json"]))
    subjects = [finding["subject"] for finding in json.loads(capsys.readouterr().out)]
    assert subjects.count("redis") == 1
    status = run(parser.parse_args(["--set", "redis.url=redis://127.0.0.1:1/0"]))
    told = capsys.readouterr().out
    assert status == 1
    assert "redis://127.0.0.1:1/0: Redis does not answer" in told


def test_an_address_that_is_none_is_said() -> None:
    [(level, text)] = findings_of(RedisSettings(url="nonsense://x"))
    assert level == "error"
    assert "nonsense" in text
