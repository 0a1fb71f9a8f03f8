"""Addresses that clients are given."""

from __future__ import annotations

import pytest

from vapo.local.addresses import is_loopback, reachable_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - not bound
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("my_host", "http://my_host:8000"),
    ],
)
def test_a_bound_address_as_it_is_reached_from_here(host: str, url: str) -> None:
    assert reachable_url(host, 8000) == url


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("a.localhost", True),
        ("10.0.0.1", False),
        ("localhost.org", False),
        ("", False),
    ],
)
def test_this_machine_and_no_other(host: str, here: bool) -> None:
    assert is_loopback(host) == here
