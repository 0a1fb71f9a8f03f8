"""A Redis that loses its last writes loses no rollout: not even those leased meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.ledger.test_ledger_moves import make_generated
from tests.support.forgetful_redis import Snapshot
from tests.support.ledger_records import CORRECT, NOT_JUDGED, generated, task, values
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.audit import audit

SAMPLES = 16
Move = Callable[[Ledger, Lease], object]


def _verdict(ledger: Ledger, lease: Lease) -> object:
    return ledger.record_verdicts([(lease, ledger.rollout(lease.id), CORRECT)])


def _drop_unjudged(ledger: Ledger, lease: Lease) -> object:
    return ledger.record_verdicts([(lease, ledger.rollout(lease.id), NOT_JUDGED)])


MOVES: dict[str, tuple[Stage, Move]] = {
    "verdict": (Stage.GENERATED, _verdict),
    "verdict without reward": (Stage.GENERATED, _drop_unjudged),
    "values": (Stage.VERIFIED, lambda ledger, lease: ledger.record_values([(lease, values())])),
    "drop": (Stage.SCORED, lambda ledger, lease: ledger.drop([lease], "stale", requeue=True)),
    "bury": (Stage.SCORED, lambda ledger, lease: ledger.bury(lease, "a test")),
    "bury early": (Stage.GENERATED, lambda ledger, lease: ledger.bury(lease, "a test")),
}


def _bring_to(ledger: Ledger, stage: Stage) -> None:
    make_generated(ledger, samples=SAMPLES)
    if stage is not Stage.GENERATED:
        for lease in ledger.lease(Stage.GENERATED, "verifier", SAMPLES, 0):
            _verdict(ledger, lease)
    if stage is Stage.SCORED:
        for lease in ledger.lease(Stage.VERIFIED, "value", SAMPLES, 0):
            ledger.record_values([(lease, values())])


@pytest.mark.parametrize("name", MOVES)
def test_what_was_leased_as_writes_were_lost_waits_for_the_next_worker(
    make_ledger: Callable[..., Ledger], name: str
) -> None:
    stage, move = MOVES[name]
    ledger = make_ledger()
    _bring_to(ledger, stage)
    before = Snapshot(ledger)
    held = ledger.lease(stage, "worker", SAMPLES, 0)
    assert len(held) == SAMPLES
    before.restore()
    for lease in held:
        assert not move(ledger, lease), "the lease is forgotten"
    assert audit(ledger).lost == ()
    again = ledger.lease(stage, "other", 2 * SAMPLES, 0)
    assert [lease.id for lease in again] == [lease.id for lease in held]
    for lease in again:
        assert move(ledger, lease)


@pytest.mark.parametrize("give_back", [False, True])
def test_a_task_leased_as_writes_were_lost_is_made_by_the_next_generator(
    make_ledger: Callable[..., Ledger], give_back: bool
) -> None:
    ledger = make_ledger()
    ledger.submit([task("a", 4)])
    for lease in ledger.lease_tasks("first", 1, version=0):
        assert ledger.finish_task_lease(lease, give_back=True)
    before = Snapshot(ledger)
    [lease] = ledger.lease_tasks("worker", 1, version=0)
    for sample in range(4):
        ledger.record_generated("a", sample, generated())
    before.restore()
    ledger.record_generated("a", 0, generated())
    assert ledger.finish_task_lease(lease, give_back) is give_back
    assert not ledger.bury(lease, "a test")
    assert audit(ledger).lost == ()
    [again] = ledger.lease_tasks("other", 1, version=0)
    assert ledger.missing_samples(again) == [1, 2, 3]


def test_an_entry_that_is_another_rollouts_by_then_is_left_alone(make_ledger: Callable[..., Ledger]) -> None:
    """A promoted replica whose clock is behind may give a lost entry's id to another rollout."""
    ledger = make_ledger()
    make_generated(ledger, "a")
    make_generated(ledger, "b")
    first, second = ledger.lease(Stage.GENERATED, "worker", 2, 0)
    mistaken = Lease(first.stage, second.entry, first.id)
    assert not ledger.bury(mistaken, "a test")
    assert not _verdict(ledger, mistaken)
    assert not ledger.acknowledge([(second.entry, first.id)])
    assert _verdict(ledger, first)
    assert _verdict(ledger, second)
