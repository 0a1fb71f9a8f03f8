"""Many moves in few round trips: each still happens once, whatever is lost or sent twice."""

from __future__ import annotations

import threading

import pytest

from tests.integration.ledger.test_ledger_moves import take_one
from tests.support.ledger_records import CORRECT, NOT_JUDGED, close, generated, settings_for, task, values
from tests.support.running_redis import RunningRedis
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.scripts import MOVES_PER_PIPELINE

COUNT = 2 * MOVES_PER_PIPELINE + 3
"""Two full pipelines and a short one."""


def make_verified(ledger: Ledger, count: int) -> list[Lease]:
    """Bring the samples of one task to the value service, and lease them there."""
    ledger.submit([task("a", count)])
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    for sample in lease.samples:
        ledger.record_generated("a", sample, generated(length=1 + sample % 5))
    ledger.finish_task_lease(lease)
    for held, rollout in ledger.load(ledger.lease(Stage.GENERATED, "verifier", count, 1.0)):
        ledger.record_verdicts([(held, rollout, CORRECT)])
    return ledger.lease(Stage.VERIFIED, "value", count, 1.0)


def make_scored(ledger: Ledger, count: int) -> list[Lease]:
    """Bring them to the trainer, and lease them there."""
    held = make_verified(ledger, count)
    assert ledger.record_values([(lease, values()) for lease in held]) == count
    return ledger.lease(Stage.SCORED, "trainer", count, 1.0)


def test_a_batch_is_loaded_in_order_whatever_its_size(ledger: Ledger) -> None:
    held = make_scored(ledger, COUNT)
    loaded = ledger.load(held)
    assert [lease for lease, _ in loaded] == held
    assert [rollout.id for _, rollout in loaded] == [f"a.{sample}" for sample in range(COUNT)]
    assert [rollout.generated.token_ids.size for _, rollout in loaded] == [1 + sample % 5 for sample in range(COUNT)]
    assert ledger.load([]) == []
    assert ledger.rollouts(["a.1", "nobody.0", "a.0"])[1] is None


def test_records_that_cannot_be_used_are_buried_and_the_others_loaded(ledger: Ledger) -> None:
    held = make_scored(ledger, 4)
    ledger.redis.delete(ledger.keys.rollout("a.1"))
    ledger.redis.hset(ledger.keys.rollout("a.2"), "generated", b"\xc1")
    assert [lease.id for lease, _ in ledger.load(held)] == ["a.0", "a.3"]
    reasons = {letter.id: letter.reason for letter in ledger.dead_letters.list()}
    assert "is gone" in reasons["a.1"]
    assert "unreadable" in reasons["a.2"]
    assert ledger.depths()["scored_leased"] == 2


def test_a_batch_of_verdicts_sends_each_rollout_where_its_own_does(ledger: Ledger) -> None:
    ledger.submit([task("a", COUNT)])
    ledger.submit([task("e", 1, purpose="eval", evaluation="held-out")])
    for lease in ledger.lease_tasks("generator", 2, version=0):
        for sample in lease.samples:
            ledger.record_generated(lease.id, sample, generated())
    work = ledger.load(ledger.lease(Stage.GENERATED, "verifier", COUNT + 1, 1.0))
    judged = [(lease, rollout, NOT_JUDGED if rollout.id == "a.3" else CORRECT) for lease, rollout in work]
    assert ledger.record_verdicts(judged) == COUNT + 1
    assert ledger.record_verdicts(judged) == 0
    assert ledger.states(["a.0", "a.3", "e.0"]) == ["verified", "dropped", "done"]
    assert ledger.depths()["verified"] == COUNT - 1
    assert ledger.journal.results("held-out")["e.0"]["verdict"] == "correct"
    assert ledger.record_verdicts([]) == 0


def test_batches_of_the_trainer_count_each_rollout_once(ledger: Ledger) -> None:
    held = make_scored(ledger, COUNT)
    notes = [(lease.id, {"step": number}) for number, lease in enumerate(held)]
    pairs = [(lease.entry, lease.id) for lease in held]
    assert ledger.mark_trained(notes) == COUNT
    assert ledger.mark_trained(notes) == 0
    assert ledger.depths()["admitted"] == 0
    assert [rollout.training["step"] for rollout in ledger.rollouts([name for name, _ in notes])] == list(range(COUNT))
    assert ledger.acknowledge(pairs[:100]) == 100
    assert ledger.acknowledge(pairs) == COUNT - 100
    assert ledger.counters()["trained"] == COUNT
    assert ledger.depths()["scored_leased"] == 0


def test_a_restarted_trainer_gets_a_large_batch_back(ledger: Ledger) -> None:
    held = make_scored(ledger, COUNT)
    ledger.mark_trained((lease.id, {}) for lease in held)
    ledger.acknowledge((lease.entry, lease.id) for lease in held[:10])
    assert ledger.redeliver("trainer") == held[10:]
    assert ledger.drop(held, "stale", requeue=True) == COUNT - 10
    assert ledger.counters()["dropped:stale"] == COUNT - 10
    assert ledger.depths()["backlog"] == COUNT - 10


def test_late_values_change_nothing(ledger: Ledger) -> None:
    held = make_verified(ledger, 3)
    scored = [(lease, values()) for lease in held]
    assert ledger.record_values([scored[1]])
    assert ledger.record_values(scored) == 2
    assert ledger.depths()["scored"] == 3
    assert take_one(ledger, Stage.SCORED).id == "a.1"


def test_a_redis_that_forgot_the_scripts_is_told_them_again(ledger: Ledger) -> None:
    held = make_scored(ledger, 5)
    ledger.redis.script_flush()
    assert ledger.mark_trained((lease.id, {}) for lease in held) == 5
    ledger.redis.script_flush()
    assert ledger.acknowledge([(held[0].entry, held[0].id)])


@pytest.mark.slow
def test_a_redis_killed_between_batches_of_moves_does_each_once(own_redis: RunningRedis) -> None:
    ledger = Ledger.open(settings_for(own_redis.settings, "trainer.prompts_per_step=2000"))
    held = make_scored(ledger, 2000)
    work = threading.Thread(
        target=lambda: (
            ledger.mark_trained((lease.id, {"step": 1}) for lease in held),
            ledger.acknowledge((lease.entry, lease.id) for lease in held),
        )
    )
    work.start()
    while ledger.counters().get("trained", 0) < 100:
        assert work.is_alive()
    for _ in range(3):
        own_redis.kill()
        own_redis.start()
    work.join(timeout=60)
    assert not work.is_alive()
    assert ledger.counters()["trained"] == 2000
    assert ledger.depths() == dict.fromkeys(ledger.depths(), 0)
    assert {ledger.states([lease.id])[0] for lease in held} == {"acknowledged"}
    close(ledger)
