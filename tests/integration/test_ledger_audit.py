"""The audit finds every sample, and says so when one is gone."""

from __future__ import annotations

from tests.support.ledger_records import CORRECT, NOT_JUDGED, generated, task, values
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.audit import audit


def _take(ledger: Ledger, stage: Stage) -> Lease:
    [lease] = ledger.lease(stage, "worker", 1, 0.1)
    return lease


def _generate(ledger: Ledger) -> Lease:
    """The next task is leased, and its first sample generated."""
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    assert ledger.record_generated(lease.id, 0, generated())
    return lease


def _spread_over_all_places(ledger: Ledger) -> None:
    for name in "abcdef":
        ledger.submit(task(name, samples=1))
    for _ in range(4):
        assert ledger.finish_task_lease(_generate(ledger))
    for verdict in (CORRECT, CORRECT, NOT_JUDGED):
        lease = _take(ledger, Stage.GENERATED)
        ledger.record_verdict(lease, ledger.rollout(lease.id), verdict)
    for _ in range(2):
        assert ledger.record_values(_take(ledger, Stage.VERIFIED), values())
    trained = _take(ledger, Stage.SCORED)
    ledger.mark_trained(trained.id, {"step": 1})
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    ledger.bury(lease, "a test")


def test_every_sample_is_found_wherever_it_is(ledger: Ledger) -> None:
    _spread_over_all_places(ledger)
    found = audit(ledger)
    assert found.lost == ()
    assert found.places == {"trained": 1, "scored": 1, "dropped": 1, "generated": 1,
                            "to be generated": 2}


def test_a_trimmed_payload_is_not_a_loss(ledger: Ledger) -> None:
    ledger.submit(task("a", samples=1))
    assert ledger.finish_task_lease(_generate(ledger))
    lease = _take(ledger, Stage.GENERATED)
    ledger.record_verdict(lease, ledger.rollout(lease.id), NOT_JUDGED)
    ledger.redis.delete(ledger.keys.rollout("a.0"))
    assert audit(ledger).places == {"ended, payload trimmed": 1}


def test_a_sample_in_no_queue_is_reported_lost(ledger: Ledger) -> None:
    _spread_over_all_places(ledger)
    ledger.redis.delete(ledger.keys.stream(Stage.SCORED), ledger.keys.stream(Stage.TASKS))
    lost = audit(ledger).lost
    assert set(lost) == {"a.0", "b.0", "f.0"}
