"""The audit finds every sample, and says so when one is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.ledger_records import CORRECT, NOT_JUDGED, generated, task, values
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.audit import audit
from vapo.ledger.books import Books


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
        ledger.submit([task(name, samples=1)])
    for _ in range(4):
        assert ledger.finish_task_lease(_generate(ledger))
    for verdict in (CORRECT, CORRECT, NOT_JUDGED):
        lease = _take(ledger, Stage.GENERATED)
        ledger.record_verdicts([(lease, ledger.rollout(lease.id), verdict)])
    for _ in range(2):
        assert ledger.record_values([(_take(ledger, Stage.VERIFIED), values())])
    trained = _take(ledger, Stage.SCORED)
    ledger.mark_trained([(trained.id, {"step": 1})])
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    ledger.bury(lease, "a test")


def test_every_sample_is_found_wherever_it_is(ledger: Ledger) -> None:
    _spread_over_all_places(ledger)
    found = audit(ledger)
    assert found.lost == ()
    assert found.places == {"trained": 1, "scored": 1, "dropped": 1, "generated": 1, "to be generated": 2}


def test_a_trimmed_payload_is_not_a_loss(ledger: Ledger) -> None:
    ledger.submit([task("a", samples=1)])
    assert ledger.finish_task_lease(_generate(ledger))
    lease = _take(ledger, Stage.GENERATED)
    ledger.record_verdicts([(lease, ledger.rollout(lease.id), NOT_JUDGED)])
    ledger.redis.delete(ledger.keys.rollout("a.0"))
    assert audit(ledger).places == {"ended, payload trimmed": 1}


def test_a_sample_in_no_queue_is_reported_lost(ledger: Ledger) -> None:
    _spread_over_all_places(ledger)
    ledger.redis.delete(ledger.keys.stream(Stage.SCORED), ledger.keys.stream(Stage.TASKS))
    lost = audit(ledger).lost
    assert set(lost) == {"a.0", "b.0", "f.0"}


class Busy:
    """A connection behind whose every answer the run goes on."""

    def __init__(self, redis: Any, go_on: Callable[[], None]) -> None:
        self._redis, self._go_on = redis, go_on

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._redis, name)

        def carried_out(*arguments: Any, **options: Any) -> Any:
            answer = call(*arguments, **options)
            if name == "scan_iter":
                answer = list(answer)
            self._go_on()
            return answer

        return carried_out


def test_what_moves_while_it_is_looked_for_is_not_lost(ledger: Ledger) -> None:
    for number in range(40):
        ledger.submit([task(f"t{number}", samples=2)])

    def go_on() -> None:
        for lease in ledger.lease_tasks("generator", 2, version=0):
            for sample in ledger.missing_samples(lease):
                ledger.record_generated(lease.id, sample, generated())
            ledger.finish_task_lease(lease)
        for lease in ledger.lease(Stage.GENERATED, "worker", 3, 0):
            ledger.record_verdicts([(lease, ledger.rollout(lease.id), CORRECT)])
        for lease in ledger.lease(Stage.VERIFIED, "worker", 2, 0):
            ledger.record_values([(lease, values())])
        for lease in ledger.lease(Stage.SCORED, "trainer", 1, 0):
            ledger.drop([lease], "stale", requeue=True)

    for _ in range(20):
        found = audit(Books(Busy(ledger.redis, go_on), ledger.keys))
        assert found.lost == ()
        assert sum(found.places.values()) == 80


def test_what_is_lost_on_a_busy_ledger_is_still_said(ledger: Ledger) -> None:
    _spread_over_all_places(ledger)
    ledger.redis.delete(ledger.keys.stream(Stage.SCORED))
    found = audit(Books(Busy(ledger.redis, lambda: None), ledger.keys))
    assert set(found.lost) == {"a.0", "b.0"}
    assert found.places["lost"] == 2
