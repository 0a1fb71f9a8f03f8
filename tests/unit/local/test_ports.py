"""Free ports: different, bindable, and out of the way of outgoing connections."""

from __future__ import annotations

import socket

import pytest

from vapo.local.ports import FIRST, KEPT_CLAIMS, LAST, claimed, free_ports, is_free


def test_ports_are_different_free_and_in_range() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(FIRST <= port <= LAST and is_free("127.0.0.1", port) for port in ports)
    assert free_ports(0) == free_ports(-1) == []


def test_a_taken_port_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free("127.0.0.1", taken.getsockname()[1])


def test_an_address_that_is_not_this_machines_is_not_called_taken() -> None:
    assert is_free("no-such-host.invalid", 8000)
    assert is_free("192.0.2.1", 8000)


def test_of_stacks_that_start_together_one_has_a_port() -> None:
    one, two = 70_000, 70_001  # no ports, so that no stack of this machine has a claim to them
    with claimed(one) as first, claimed(one) as second, claimed(two) as other:
        assert (first, second, other) == (True, False, True)
    with claimed(one) as later:
        assert later


def test_a_chosen_port_is_not_chosen_again_by_whoever_asks_next() -> None:
    (port,) = free_ports(1)
    with claimed(port) as again:
        assert not again
    free_ports(KEPT_CLAIMS)
    with claimed(port) as later:
        assert later


def test_only_claimed_ports_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setattr("vapo.local.ports.FIRST", port)
    monkeypatch.setattr("vapo.local.ports.LAST", port)
    with pytest.raises(OSError, match=f"fewer than 1 free ports between {port} and {port}"):
        free_ports(1)
