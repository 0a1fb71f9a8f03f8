"""The fleet in a real Redis: what a restart replaces, and what is forgotten."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from vapo.ledger import Ledger
from vapo.ledger.fleet import FORGET_SECONDS, Fleet, Member

GATEWAY = Member("gateway-1", "gateway", "http://127.0.0.1:8000", "READY")


def write(ledger: Ledger, member: Member) -> None:
    ledger.redis.hset(ledger.keys.named("fleet"), member.name, json.dumps(asdict(member)))


def test_the_dead_gateway_of_an_earlier_start_is_gone_after_a_resume(ledger: Ledger) -> None:
    now = ledger.fleet.now()
    write(ledger, replace(GATEWAY, since=now - 400, seen_at=now - 300))
    [died] = ledger.fleet.members()
    assert died.state == "DEAD"
    ledger.fleet.beat(replace(GATEWAY, name="gateway-2"))
    [alive] = ledger.fleet.members()
    assert (alive.name, alive.state) == ("gateway-2", "READY")


def test_the_long_dead_are_forgotten_and_removed_by_the_next_to_start(ledger: Ledger) -> None:
    now = ledger.fleet.now()
    write(ledger, replace(GATEWAY, seen_at=now - FORGET_SECONDS - 1))
    assert ledger.fleet.members() == []
    assert ledger.redis.hlen(ledger.keys.named("fleet")) == 1
    Fleet(ledger.redis, ledger.keys, 1.0).beat(Member("v", "value", "http://v", "READY"))
    assert ledger.redis.hkeys(ledger.keys.named("fleet")) == [b"v"]


def test_a_member_keeps_the_time_of_its_first_heartbeat(ledger: Ledger) -> None:
    ledger.fleet.beat(GATEWAY)
    first = ledger.fleet.members()[0]
    ledger.fleet.beat(replace(GATEWAY, reason="waiting"))
    second = ledger.fleet.members()[0]
    assert second.since == first.since <= first.seen_at < second.seen_at
    assert second.reason == "waiting"
