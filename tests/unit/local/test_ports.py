"""Free ports: different, bindable, and out of the way of outgoing connections."""

from __future__ import annotations

import socket

from vapo.local.ports import FIRST, LAST, claimed, free_ports, is_free


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
    one, two = free_ports(2)  # the default ports may be another stack's of this machine
    with claimed(one) as first, claimed(one) as second, claimed(two) as other:
        assert (first, second, other) == (True, False, True)
    with claimed(one) as later:
        assert later
