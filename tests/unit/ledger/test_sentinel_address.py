"""Addresses of a Redis behind Sentinels."""

from __future__ import annotations

import pytest

from vapo.ledger.connection import connect
from vapo.ledger.sentinel import SentinelAddress, parse
from vapo.settings import RedisSettings, SettingsError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://a/primary", SentinelAddress((("a", 26379),), "primary", 0)),
        (
            "redis+sentinel://a:1,b,10.0.0.7:3/primary/2",
            SentinelAddress((("a", 1), ("b", 26379), ("10.0.0.7", 3)), "primary", 2),
        ),
        ("redis+sentinel://[::1]:5/p/0", SentinelAddress((("::1", 5),), "p", 0)),
    ],
)
def test_an_address_names_sentinels_service_and_database(url: str, expected: SentinelAddress) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+sentinel://a:26379", "no service"),
        ("redis+sentinel:///primary", "no HOST:PORT"),
        ("redis+sentinel://a:port/primary", "port"),
        ("redis+sentinel://a:1,,b/primary", "no HOST:PORT"),
        ("redis+sentinel://a/primary/first", "first"),
        ("redis+sentinel://user@a/primary", "password_file"),
        ("http://a/primary", "scheme"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_connects(url: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as failure:
        connect(RedisSettings(url=url))
    assert "redis.url" in str(failure.value)
