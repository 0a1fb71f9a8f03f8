"""Each move of a rollout happens once, whatever is delivered or called twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.ledger_records import CORRECT, NOT_JUDGED, WRONG, generated, task, values
from vapo.ledger import Ledger, Note, NoteConflict, QueueFull, Stage
from vapo.ledger.leases import Lease


def make_generated(ledger: Ledger, task_id: str = "a", samples: int = 1, **fields: object) -> None:
    """Submit a task and generate all its samples."""
    ledger.submit([task(task_id, samples, **fields)])
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    for sample in lease.samples:
        assert ledger.record_generated(task_id, sample, generated())
    assert ledger.finish_task_lease(lease)


def take_one(ledger: Ledger, stage: Stage, consumer: str = "worker") -> Lease:
    [lease] = ledger.lease(stage, consumer, 1, 0.1)
    return lease


def make_scored(ledger: Ledger, task_id: str = "a", samples: int = 1) -> list[Lease]:
    """Bring all samples of a new task to the trainer, and lease them there."""
    make_generated(ledger, task_id, samples)
    for _ in range(samples):
        lease = take_one(ledger, Stage.GENERATED)
        assert ledger.record_verdicts([(lease, ledger.rollout(lease.id), CORRECT)])
        assert ledger.record_values([(take_one(ledger, Stage.VERIFIED), values())])
    return ledger.lease(Stage.SCORED, "trainer", samples, 0.1)


def test_without_a_critic_a_verdict_sends_a_rollout_straight_to_the_trainer(ledger: Ledger) -> None:
    algorithm = ledger.settings.algorithm.model_copy(update={"estimator": "group"})
    settings = ledger.settings.model_copy(update={"algorithm": algorithm})
    without_critic = Ledger(ledger.redis, settings, ledger.watch)
    make_generated(without_critic)
    lease = take_one(without_critic, Stage.GENERATED)
    assert without_critic.record_verdicts([(lease, without_critic.rollout(lease.id), CORRECT)])
    assert without_critic.depths()["verified"] == 0
    scored = take_one(without_critic, Stage.SCORED)
    assert without_critic.rollout(scored.id).values is None
    assert without_critic.mark_trained([(scored.id, {"step": 1})])
    assert without_critic.acknowledge([(scored.entry, scored.id)])


def test_a_rollout_passes_all_stages_and_keeps_what_each_adds(ledger: Ledger) -> None:
    [lease] = make_scored(ledger)
    assert ledger.mark_trained([("a.0", {"step": 3, "advantages": generated().behaviour_log_probs})])
    rollout = ledger.rollout("a.0")
    assert (rollout.state, rollout.verdict, rollout.values.critic_version) == ("trained", CORRECT, 0)
    assert rollout.training["step"] == 3
    assert set(rollout.timestamps) >= {"generated", "verdict", "values", "trained"}
    assert ledger.depths()["admitted"] == 0
    assert ledger.depths()["scored_leased"] == 1, "it stays leased until the checkpoint is durable"
    assert ledger.acknowledge([(lease.entry, "a.0")])
    assert not ledger.acknowledge([(lease.entry, "a.0")])
    assert ledger.rollout("a.0").state == "acknowledged"
    assert ledger.depths()["scored_leased"] == 0
    assert [look.cursor.id for look in ledger.newest_rollouts()] == ["a.0"]


def test_resubmission_changes_nothing(ledger: Ledger) -> None:
    assert ledger.submit([task("a")])[0]
    assert not ledger.submit([task("a", samples=7)])[0]
    assert ledger.depths()["backlog"] == 1
    assert ledger.task("a").samples == 2


def test_a_full_queue_accepts_all_of_a_batch_or_nothing(make_ledger: Callable[..., Ledger]) -> None:
    ledger = make_ledger("ledger.task_queue_limit=3")
    ledger.submit([task("a"), task("b")])
    with pytest.raises(QueueFull, match="task_queue_limit"):
        ledger.submit([task("c"), task("d")])
    assert ledger.task("c") is None
    assert ledger.submit([task("a"), task("c")]) == [False, True]


def test_an_evaluation_task_does_not_count_against_the_queue(make_ledger: Callable[..., Ledger]) -> None:
    ledger = make_ledger("ledger.task_queue_limit=1")
    ledger.submit([task("a")])
    assert ledger.submit([task("b", purpose="eval", evaluation="e")])[0]


def test_a_note_changes_with_its_tasks_or_not_at_all(ledger: Ledger) -> None:
    first = Note("positions", "set", "", "1")
    assert ledger.submit([task("a")], [first]) == [True]
    with pytest.raises(NoteConflict):
        ledger.submit([task("b")], [first])
    assert ledger.task("b") is None
    assert ledger.note("positions", "set") == "1"
    assert ledger.submit([], [Note("positions", "set", "1", "2")]) == []
    assert ledger.note("positions", "set") == "2"


def test_a_response_delivered_twice_is_stored_once(ledger: Ledger) -> None:
    ledger.submit([task("a")])
    ledger.lease_tasks("generator", 1, version=0)
    assert ledger.record_generated("a", 0, generated(text="first"))
    assert not ledger.record_generated("a", 0, generated(text="second"))
    assert ledger.rollout("a.0").generated.text == "first"
    assert ledger.depths()["generated"] == 1
    assert ledger.task("a").made == 1


@pytest.mark.parametrize(("task_id", "sample"), [("unknown", 0), ("a", 2)])
def test_a_response_nobody_asked_for_is_refused(ledger: Ledger, task_id: str, sample: int) -> None:
    ledger.submit([task("a")])
    assert not ledger.record_generated(task_id, sample, generated())
    assert ledger.depths()["generated"] == 0


def test_a_verdict_and_values_count_once(ledger: Ledger) -> None:
    make_generated(ledger)
    lease = take_one(ledger, Stage.GENERATED)
    rollout = ledger.rollout("a.0")
    assert ledger.record_verdicts([(lease, rollout, CORRECT)])
    assert not ledger.record_verdicts([(lease, rollout, WRONG)])
    assert ledger.rollout("a.0").verdict == CORRECT
    scoring = take_one(ledger, Stage.VERIFIED)
    assert ledger.record_values([(scoring, values())])
    assert not ledger.record_values([(scoring, values(critic_version=9))])
    assert ledger.depths()["scored"] == 1
    assert ledger.counters()["verdict"] == 1


def test_a_response_that_cannot_be_judged_is_dropped_with_its_verdict(ledger: Ledger) -> None:
    make_generated(ledger)
    lease = take_one(ledger, Stage.GENERATED)
    assert ledger.record_verdicts([(lease, ledger.rollout("a.0"), NOT_JUDGED)])
    rollout = ledger.rollout("a.0")
    assert (rollout.state, rollout.dropped, rollout.verdict) == ("dropped", "verdict_error", NOT_JUDGED)
    assert ledger.depths()["admitted"] == 0
    assert ledger.counters()["dropped:verdict_error"] == 1


def test_a_dropped_rollout_is_queued_again_and_made_anew(ledger: Ledger) -> None:
    first, second = make_scored(ledger, samples=2)
    assert ledger.drop([first], "stale", requeue=True)
    assert not ledger.drop([first], "stale", requeue=True)
    assert ledger.rollout(first.id) is None
    assert ledger.depths()["backlog"] == 1
    assert ledger.depths()["admitted"] == 1
    [again] = ledger.lease_tasks("generator", 5, version=0)
    assert [f"a.{sample}" for sample in again.samples] == [first.id]
    assert ledger.missing_samples(again) == list(again.samples)
    assert ledger.record_generated("a", again.samples[0], generated(text="anew"))
    assert ledger.rollout(first.id).generated.text == "anew"
    assert ledger.rollout(second.id).state == "scored"


def test_a_stale_worker_cannot_touch_a_later_response_of_the_same_id(ledger: Ledger) -> None:
    make_generated(ledger)
    old = take_one(ledger, Stage.GENERATED)
    rollout = ledger.rollout("a.0")
    assert ledger.drop([old], "stale", requeue=True)
    [lease] = ledger.lease_tasks("generator", 1, version=0)
    ledger.record_generated("a", 0, generated(text="later"))
    assert not ledger.record_verdicts([(old, rollout, WRONG)])
    assert not ledger.record_verdicts([(old, rollout, NOT_JUDGED)])
    assert not ledger.drop([old], "stale", requeue=False)
    assert ledger.rollout("a.0").state == "generated"
    assert ledger.finish_task_lease(lease)


def test_a_sample_made_late_takes_no_slot_again(ledger: Ledger) -> None:
    [lease] = make_scored(ledger)
    ledger.drop([lease], "stale", requeue=True)
    assert ledger.record_generated("a", 0, generated()), "a worker that had been taken over"
    assert ledger.lease_tasks("generator", 1, version=0) == []
    assert ledger.depths()["backlog"] == 0
    assert ledger.depths()["admitted"] == 0


def test_a_generator_behind_the_newest_weights_leases_nothing(ledger: Ledger) -> None:
    ledger.redis.set(ledger.keys.named("weight_newest"), 2)
    ledger.submit([task("a")])
    assert ledger.lease_tasks("generator", 1, version=1) == []
    assert len(ledger.lease_tasks("generator", 1, version=2)) == 1


def test_concurrent_workers_move_every_rollout_exactly_once(make_ledger: Callable[..., Ledger]) -> None:
    ledger = make_ledger("trainer.prompts_per_step=60")
    ledger.submit([task(f"t{number}", 1) for number in range(60)])

    def generate(worker: int) -> int:
        stored = 0
        while leases := ledger.lease_tasks(f"g{worker}", 4, version=0):
            for lease in leases * 2:  # every result is delivered twice
                stored += ledger.record_generated(lease.id, 0, generated())
                ledger.finish_task_lease(lease)
        return stored

    def verify(worker: int) -> int:
        moved = 0
        while leases := ledger.lease(Stage.GENERATED, f"v{worker}", 4, 0):
            for lease in leases * 2:
                moved += ledger.record_verdicts([(lease, ledger.rollout(lease.id), CORRECT)])
        return moved

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(generate, range(4))) == 60
        assert sum(pool.map(verify, range(4))) == 60
    depths = ledger.depths()
    assert (depths["tasks"], depths["generated"], depths["verified"]) == (0, 0, 60)
    assert depths["admitted"] == 60
