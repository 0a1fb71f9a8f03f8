"""Dead workers, dead letters, trimming, a trainer's restart, and a killed Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.ledger.test_ledger_moves import make_generated, make_scored, take_one
from tests.support.ledger_records import CORRECT, close, generated, settings_for, task, values
from tests.support.running_redis import RunningRedis
from tests.support.waiting import wait_until
from vapo.ledger import Ledger, Stage
from vapo.ledger.audit import Audit, audit
from vapo.ledger.dead_letters import PayloadGone
from vapo.ledger.stage_worker import StageWorker, Work

MakeLedger = Callable[..., Ledger]
SHORT_LEASE = ("ledger.lease_seconds=0.1", "ledger.max_attempts=3")
DEADLINE_SECONDS = 20


def let_leases_expire() -> None:
    """Longer than SHORT_LEASE."""
    time.sleep(0.15)


def test_a_dead_workers_rollout_is_taken_over(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(*SHORT_LEASE)
    make_generated(ledger)
    lost = take_one(ledger, Stage.GENERATED, "dead")
    assert ledger.take_over(Stage.GENERATED, "alive", 10) == [], "its lease still runs"
    let_leases_expire()
    [taken] = ledger.take_over(Stage.GENERATED, "alive", 10)
    assert (taken.id, taken.entry, taken.deliveries) == ("a.0", lost.entry, 2)
    assert ledger.take_over(Stage.GENERATED, "third", 10) == []
    assert ledger.record_verdicts([(taken, ledger.rollout("a.0"), CORRECT)])
    assert not ledger.record_verdicts([(lost, ledger.rollout("a.0"), CORRECT)]), "it was not dead after all"
    assert ledger.depths()["verified"] == 1


def test_a_renewed_lease_is_not_taken_over(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(*SHORT_LEASE)
    make_generated(ledger)
    lease = take_one(ledger, Stage.GENERATED, "slow")
    for _ in range(4):
        time.sleep(0.05)
        ledger.renew("slow", [lease])
        assert ledger.take_over(Stage.GENERATED, "greedy", 10) == []
    assert ledger.record_verdicts([(lease, ledger.rollout("a.0"), CORRECT)])
    ledger.renew("slow", [lease])
    assert ledger.pending(Stage.GENERATED, "slow") == [], "renewing what is done brings nothing back"


def test_only_the_missing_samples_of_a_dead_generator_are_made_again(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(*SHORT_LEASE)
    ledger.submit([task("a", 4)])
    [lease] = ledger.lease_tasks("dead", 1, version=0)
    for sample in (0, 2):
        ledger.record_generated("a", sample, generated())
    assert not ledger.finish_task_lease(lease)
    let_leases_expire()
    [taken] = ledger.take_over(Stage.TASKS, "alive", 10)
    assert ledger.missing_samples(taken) == [1, 3]


def test_a_generator_that_shuts_down_gives_the_rest_back(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    ledger.submit([task("a", 4)])
    [lease] = ledger.lease_tasks("leaving", 1, version=0)
    ledger.record_generated("a", 1, generated())
    assert ledger.finish_task_lease(lease, give_back=True)
    [again] = ledger.lease_tasks("next", 1, version=0)
    assert again.samples == (0, 2, 3)


def test_samples_made_and_trimmed_are_never_made_again(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(*SHORT_LEASE, "ledger.retained_rollouts=0")
    ledger.submit([task("a", 3, purpose="eval", evaluation="e")])
    ledger.lease_tasks("dead", 1, version=0)
    ledger.record_generated("a", 0, generated())
    lease = take_one(ledger, Stage.GENERATED)
    ledger.record_verdicts([(lease, ledger.rollout("a.0"), CORRECT)])
    assert ledger.trim() == 1
    assert ledger.rollout("a.0") is None
    let_leases_expire()
    [taken] = ledger.take_over(Stage.EVAL_TASKS, "alive", 10)
    assert ledger.missing_samples(taken) == [1, 2]
    assert not ledger.record_generated("a", 0, generated())


def test_an_id_delivered_too_often_becomes_a_dead_letter_and_can_be_revived(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(*SHORT_LEASE)
    make_generated(ledger)
    take_one(ledger, Stage.GENERATED, "crashing")
    for delivery in (2, 3):
        let_leases_expire()
        assert [lease.deliveries for lease in ledger.take_over(Stage.GENERATED, "crashing", 9)] == [delivery]
    let_leases_expire()
    assert ledger.take_over(Stage.GENERATED, "crashing", 9) == []
    [letter] = ledger.dead_letters.list()
    assert (letter.id, letter.stage) == ("a.0", "generated")
    assert "delivered 3 times" in letter.reason
    assert ledger.rollout("a.0").state == "dead"
    assert ledger.depths() == {**dict.fromkeys(ledger.depths(), 0), "dead": 1}
    assert ledger.dead_letters.revive(letter.entry)
    assert not ledger.dead_letters.revive(letter.entry)
    assert ledger.depths()["admitted"] == 1
    lease = take_one(ledger, Stage.GENERATED)
    assert lease.deliveries == 1
    assert ledger.record_verdicts([(lease, ledger.rollout("a.0"), CORRECT)])


def test_a_buried_task_names_what_is_missing_and_comes_back_with_that(ledger: Ledger) -> None:
    ledger.submit([task("a", 3)])
    [lease] = ledger.lease_tasks("g", 1, version=0)
    ledger.record_generated("a", 1, generated())
    assert ledger.bury(lease, "too long for the engine")
    assert not ledger.bury(lease, "again")
    assert ledger.depths()["admitted"] == 1
    assert ledger.task("a").state == "dead"
    [letter] = ledger.dead_letters.list()
    assert letter.samples == "0,2"
    assert ledger.dead_letters.revive(letter.entry)
    [again] = ledger.lease_tasks("g", 1, version=0)
    assert again.samples == (0, 2)
    assert ledger.depths()["admitted"] == 3


def test_a_letter_whose_record_is_gone_stays_and_says_so(ledger: Ledger) -> None:
    make_generated(ledger)
    lease = take_one(ledger, Stage.GENERATED)
    ledger.redis.delete(ledger.keys.rollout("a.0"))
    assert ledger.bury(lease, "its record is gone")
    [letter] = ledger.dead_letters.list()
    with pytest.raises(PayloadGone, match="submit it again"):
        ledger.dead_letters.revive(letter.entry)
    assert ledger.dead_letters.list() == [letter]
    assert ledger.rollout("a.0") is None


def test_trimming_keeps_the_newest_and_the_memory_of_all(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.retained_rollouts=2")
    for number in range(5):
        [lease] = make_scored(ledger, f"t{number}")
        ledger.mark_trained([(lease.id, {})])
        ledger.acknowledge([(lease.entry, lease.id)])
    assert ledger.trim() == 3
    assert ledger.trim() == 0
    known = [ledger.rollout(f"t{number}.0") is not None for number in range(5)]
    assert known == [False, False, False, True, True]
    assert ledger.task("t0").task is None
    assert not ledger.submit([task("t0", 1)])[0], "a trimmed task is still recognised"


def finish(ledger: Ledger, task_id: str, samples: int = 1) -> None:
    """All samples of a new task are generated, trained on and in a checkpoint."""
    for lease in make_scored(ledger, task_id, samples=samples):
        ledger.mark_trained([(lease.id, {})])
        ledger.acknowledge([(lease.entry, lease.id)])


def test_records_of_tasks_that_ended_long_ago_go_too(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.retained_rollouts=0", "ledger.retained_tasks=2")
    for number in range(5):
        finish(ledger, f"t{number}", samples=2)
    while ledger.trim():
        continue
    known = [ledger.task(f"t{number}") is not None for number in range(5)]
    assert known == [False, False, False, True, True]
    assert not ledger.submit([task("t4")])[0], "a kept one is still recognised"
    assert audit(ledger) == Audit({"ended, record removed": 6, "ended, payload trimmed": 4}, ())


def test_the_record_of_a_task_that_has_not_ended_is_kept(make_ledger: MakeLedger) -> None:
    """However low the limits: of each task one sample has ended and one has not."""
    ledger = make_ledger("ledger.retained_rollouts=0", "ledger.retained_tasks=0")
    finish(ledger, "ended")
    for name in ("dead", "scored", "queued"):
        first, second = make_scored(ledger, name, samples=2)
        ledger.mark_trained([(first.id, {})])
        ledger.acknowledge([(first.entry, first.id)])
        if name == "dead":
            ledger.bury(second, "a test")
        elif name == "queued":
            ledger.drop([second], "stale", requeue=True)
    while ledger.trim():
        continue
    for name in ("dead", "scored", "queued"):
        record = ledger.task(name)
        assert record is not None
        assert record.task is not None, name
    assert ledger.task("ended") is None
    assert audit(ledger) == Audit(
        {"ended, payload trimmed": 3, "dead": 1, "scored": 1, "to be generated": 1, "ended, record removed": 1}, ()
    )
    [letter] = ledger.dead_letters.list()
    assert ledger.dead_letters.revive(letter.entry)
    assert audit(ledger).lost == ()


def test_a_late_response_to_a_removed_task_changes_nothing(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.retained_rollouts=0", "ledger.retained_tasks=0")
    finish(ledger, "gone")
    ledger.trim()
    assert not ledger.record_generated("gone", 0, generated())
    assert ledger.task("gone") is None
    assert ledger.rollout("gone.0") is None


def test_a_restarted_trainer_is_handed_exactly_what_its_checkpoint_lacks(ledger: Ledger) -> None:
    in_checkpoint, after, untouched = make_scored(ledger, samples=3)
    for lease in (in_checkpoint, after):
        ledger.mark_trained([(lease.id, {"step": 1})])
    ledger.acknowledge([(in_checkpoint.entry, in_checkpoint.id)])
    assert ledger.depths()["admitted"] == 1
    again = ledger.redeliver("trainer")
    assert [lease.entry for lease in again] == [after.entry, untouched.entry]
    assert ledger.redeliver("trainer") == again, "and once more, if it dies at once"
    rollout = ledger.rollout(after.id)
    assert (rollout.state, rollout.training) == ("scored", None)
    assert ledger.depths()["admitted"] == 2
    assert ledger.counters()["trained"] == 1
    assert ledger.mark_trained([(after.id, {"step": 1})])
    assert ledger.acknowledge([(after.entry, after.id)])
    assert ledger.lease(Stage.SCORED, "trainer", 5, 0) == []


@contextmanager
def working(worker: StageWorker) -> Iterator[None]:
    """Runs a stage worker; it ends in time."""
    worker.start()
    try:
        yield
    finally:
        asked = time.monotonic()
        worker.stop()
        worker.join(DEADLINE_SECONDS)
        assert time.monotonic() - asked < DEADLINE_SECONDS


def test_a_handler_that_fails_once_sees_its_batch_again(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.2")
    make_generated(ledger, samples=3)
    attempts: list[int] = []

    def handler(work: Work) -> None:
        attempts.append(len(work))
        if len(attempts) == 1:
            raise RuntimeError("once")
        for lease, rollout in work:
            ledger.record_verdicts([(lease, rollout, CORRECT)])

    with working(StageWorker(ledger, Stage.GENERATED, "worker", handler, 8)):
        wait_until(lambda: ledger.depths()["verified"] == 3, DEADLINE_SECONDS, "all are verified")
    assert len(attempts) >= 2


def test_one_rollout_that_always_fails_takes_no_other_with_it(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.2", "ledger.max_attempts=3")
    make_generated(ledger, samples=4)

    def handler(work: Work) -> None:
        if any(lease.id == "a.1" for lease, _ in work):
            raise RuntimeError("poison")
        for lease, rollout in work:
            ledger.record_verdicts([(lease, rollout, CORRECT)])

    with working(StageWorker(ledger, Stage.GENERATED, "worker", handler, 8)):
        wait_until(lambda: ledger.depths()["dead"] >= 1, DEADLINE_SECONDS, "the poison is buried")
        wait_until(lambda: ledger.depths()["verified"] == 3, DEADLINE_SECONDS, "the others are verified")
    [letter] = ledger.dead_letters.list()
    assert letter.id == "a.1"
    assert "failed 3 times (ledger.max_attempts=3); last: RuntimeError: poison" in letter.reason
    told = [record for record in caplog.records if "poison" in record.getMessage()]
    assert len(told) == 3, "every attempt is told"
    assert sum(bool(record.exc_info) for record in told) == 1, "with one traceback"


def test_a_slow_handler_keeps_its_leases(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.3")
    make_generated(ledger)
    seen: list[str] = []

    def slow(work: Work) -> None:
        seen.extend(lease.id for lease, _ in work)
        time.sleep(1.0)
        for lease, rollout in work:
            ledger.record_verdicts([(lease, rollout, CORRECT)])

    with (
        working(StageWorker(ledger, Stage.GENERATED, "one", slow, 8)),
        working(StageWorker(ledger, Stage.GENERATED, "two", slow, 8)),
    ):
        wait_until(lambda: ledger.depths()["verified"] == 1, DEADLINE_SECONDS, "it is verified")
    assert seen == ["a.0"], "the other worker never got it"


@pytest.mark.slow
def test_redis_killed_in_the_middle_loses_nothing(own_redis: RunningRedis) -> None:
    """Every call that was cut off is sent again; a lease whose reply was lost is taken over."""
    total = 400
    ledger = Ledger.open(
        settings_for(own_redis.settings, f"trainer.prompts_per_step={total}", "ledger.lease_seconds=1")
    )
    done = threading.Event()

    def submit() -> None:
        for number in range(total):
            ledger.submit([task(f"t{number}", 1)])

    def generate() -> None:
        while not done.is_set():
            leases = ledger.lease_tasks("g", 4, version=0)
            for lease in leases or ledger.take_over(Stage.TASKS, "g", 4):
                ledger.record_generated(lease.id, 0, generated())
                ledger.finish_task_lease(lease)

    def verify(work: Work) -> None:
        for lease, rollout in work:
            ledger.record_verdicts([(lease, rollout, CORRECT)])

    def score(work: Work) -> None:
        for lease, _ in work:
            ledger.record_values([(lease, values())])

    threads = [threading.Thread(target=submit), threading.Thread(target=generate)]
    with (
        working(StageWorker(ledger, Stage.GENERATED, "v", verify, 8)),
        working(StageWorker(ledger, Stage.VERIFIED, "s", score, 8)),
    ):
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.15)
            own_redis.kill()
            own_redis.start()
        wait_until(lambda: ledger.depths()["scored"] >= total, DEADLINE_SECONDS, "all pass through")
        done.set()
        for thread in threads:
            thread.join(timeout=DEADLINE_SECONDS)
            assert not thread.is_alive()
    scored = [lease.id for lease in ledger.lease(Stage.SCORED, "trainer", 2 * total, 0)]
    assert sorted(scored) == sorted(f"t{number}.0" for number in range(total))
    assert ledger.depths() == {**dict.fromkeys(ledger.depths(), 0), "scored_leased": total, "admitted": total}
    close(ledger)
