"""From the last queue to batches: staleness, groups, broken records, redelivery."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from tests.support.forgetful_redis import Snapshot
from tests.support.synthetic_rollouts import SyntheticRollouts
from tests.support.tiny_models import CHARACTERS, tiny_model
from tests.support.trainer_cases import tiny_learner
from trainer.intake.dynamic_sampling import Discarded
from trainer.intake.ingest import Arrival, BatchDeadline, Ingest
from trainer.publish import Publisher
from vapo.ledger import Ledger, Stage
from vapo.settings import Settings
from vapo.weights import WeightChannel, write_version

VOCABULARY = len(CHARACTERS)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Room for many small rollouts at once."""
    return settings.model_copy(
        update={"ledger": settings.ledger.model_copy(update={"max_staleness": 2, "lease_seconds": 0.2})}
    )


@pytest.fixture
def rollouts(ledger: Ledger) -> SyntheticRollouts:
    return SyntheticRollouts(ledger, tiny_model(0))


def _ingest(ledger: Ledger, whole_groups: bool = False, vocabulary: int = VOCABULARY) -> Ingest:
    return Ingest(ledger, WeightChannel(ledger.redis, ledger.keys), "trainer", vocabulary, whole_groups)


def _take(ingest: Ingest, count: int, step: int = 0, seconds: float = 5.0) -> list[Arrival]:
    batch = ingest.next_batch(count, step, lambda: True, seconds)
    assert batch is not None
    return batch


def _ids(batch: list[Arrival]) -> list[str]:
    return [arrival.row.rollout_id for arrival in batch]


def test_rows_carry_what_the_ledger_holds(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    [first, _] = rollouts.submit(1)
    [arrival] = _take(_ingest(ledger), 1)
    record = ledger.rollout(first)
    row = arrival.row
    assert row.rollout_id == first
    assert row.prompt_token_ids.tolist() == record.task.prompt_token_ids.tolist()
    assert row.response_token_ids.tolist() == record.generated.token_ids.tolist()
    assert row.behaviour_log_probs.tolist() == record.generated.behaviour_log_probs.tolist()
    assert (row.reward, row.correct) == (record.verdict.reward, record.verdict.correct)
    assert row.truncated == (record.generated.finish_reason == "length")
    assert (row.values.size, row.critic_version) == (row.response_token_ids.size + 1, 0)
    assert row.temperature == ledger.settings.sampling.temperature


def test_batches_come_oldest_first_and_leave_the_rest_for_later(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    made = rollouts.submit(3)
    ingest = _ingest(ledger)
    assert _ids(_take(ingest, 4)) == made[:4]
    assert _ids(_take(ingest, 2)) == made[4:]


def test_rollouts_beyond_the_staleness_limit_are_dropped_and_made_again(
    ledger: Ledger, rollouts: SyntheticRollouts, tmp_path: Path
) -> None:
    made = rollouts.submit(2)
    ingest = _ingest(ledger)
    assert ingest.next_batch(4, 3, iter([True, False]).__next__, 5.0) is None
    assert ledger.counters()["dropped:stale"] == 4
    assert ledger.depths()["admitted"] == 0
    WeightChannel(ledger.redis, ledger.keys).announce(write_version(tmp_path / "w", 1, 3, {}))
    again = rollouts.make(10)
    assert sorted(again) == sorted(made), "the same samples are queued again"


def test_staleness_counts_rollout_steps_not_versions(
    ledger: Ledger, rollouts: SyntheticRollouts, tmp_path: Path
) -> None:
    WeightChannel(ledger.redis, ledger.keys).announce(write_version(tmp_path / "w", 7, 5, {}))
    rollouts.submit(1)
    ingest = _ingest(ledger)
    [arrival] = _take(ingest, 1)
    span = dataclasses.replace(arrival.row.version_spans[0], version=7)
    row = dataclasses.replace(arrival.row, version_spans=(span,))
    assert ingest.staleness(row, 6) == 1
    assert ingest.staleness(row, 4) == 0, "after a resume rows may be ahead of the trainer"


def test_groups_stay_together_and_wait_for_their_last_sample(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    made = rollouts.submit(2, samples=3)
    ingest = _ingest(ledger, whole_groups=True)
    assert _ids(_take(ingest, 4)) == made, "the second group is not cut"
    late = rollouts.submit(1, samples=3, first=5)
    held = ledger.lease(Stage.SCORED, "elsewhere", 1, 1.0)
    with pytest.raises(BatchDeadline):
        ingest.next_batch(2, 0, lambda: True, 0.1)
    ledger.drop([held[0]], "test", requeue=False)
    assert _ids(_take(ingest, 2)) == late[1:], "a sample that will not come is not waited for"


def test_dynamic_sampling_fills_the_batch_with_groups_that_disagree(
    ledger: Ledger, rollouts: SyntheticRollouts
) -> None:
    rollouts.submit(8, samples=2)
    fates = {
        f"t{number}": {ledger.rollout(f"t{number}.{sample}").verdict.correct for sample in range(2)}
        for number in range(8)
    }
    mixed = [task for task, fate in fates.items() if len(fate) == 2]
    assert 2 <= len(mixed) <= 6
    ingest, discarded = _ingest(ledger, whole_groups=True), Discarded(limit=100)
    batch = ingest.next_batch(2 * len(mixed), 0, lambda: True, 5.0, discarded)
    assert batch is not None
    assert {arrival.row.task_id for arrival in batch} == set(mixed)
    with pytest.raises(BatchDeadline):
        ingest.next_batch(1, 0, lambda: True, 1.0, discarded)
    right = sum(fate == {True} for fate in fates.values())
    wrong = sum(fate == {False} for fate in fates.values())
    assert discarded.metrics() == {"discarded_correct": 2 * right, "discarded_wrong": 2 * wrong}
    assert ledger.counters()["dropped:uniform group"] == 2 * (right + wrong)
    assert ledger.depths()["admitted"] == 2 * len(mixed), "the slots of the others are free"


def test_dynamic_sampling_stops_at_its_limit_and_takes_what_comes(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    rollouts.submit(8, samples=2)
    discarded = Discarded(limit=2)
    batch = _ingest(ledger, whole_groups=True).next_batch(14, 0, lambda: True, 5.0, discarded)
    assert batch is not None
    assert len(batch) == 14
    assert discarded.correct + discarded.wrong == 2


def test_a_rollout_of_another_tokenizer_is_buried_with_its_reason(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    rollouts.submit(1, samples=1)
    ingest = _ingest(ledger, vocabulary=40)
    assert ingest.next_batch(1, 0, iter([True, False]).__next__, 5.0) is None
    depths = ledger.depths()
    assert (depths["dead"], depths["admitted"], depths["scored"]) == (1, 0, 0)
    [letter] = ledger.dead_letters.list(10)
    assert "another tokenizer" in letter.reason


def test_a_missing_batch_is_explained(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    rollouts.submit(1, samples=2)
    with pytest.raises(BatchDeadline, match=r"no batch of 3 rollouts .* 2 are here"):
        _ingest(ledger).next_batch(3, 0, lambda: True, 0.2)


def test_a_restarted_trainer_is_handed_what_it_had_and_nothing_that_is_in_its_checkpoint(
    ledger: Ledger, rollouts: SyntheticRollouts
) -> None:
    made = rollouts.submit(4)
    batch = _take(_ingest(ledger), 6)
    for arrival in batch[:4]:
        ledger.mark_trained([(arrival.lease.id, {"step": 1})])
    in_checkpoint = [(arrival.lease.entry, arrival.lease.id) for arrival in batch[:2]]

    again = _ingest(ledger)
    assert again.resume(in_checkpoint) == 4
    assert [ledger.rollout(rollout).state for rollout in made[:2]] == ["acknowledged"] * 2
    assert _ids(_take(again, 6)) == made[2:], "redelivered first, then the rest of the queue"


def test_what_a_forgetful_redis_hands_out_again_is_not_trained_on_twice(
    ledger: Ledger, rollouts: SyntheticRollouts
) -> None:
    made = rollouts.submit(2)
    ingest = _ingest(ledger)
    assert _ids(_take(ingest, 2)) == made[:2]
    stream = ledger.keys.stream(Stage.SCORED)
    ledger.redis.xgroup_setid(stream, "workers", "0")
    assert _ids(_take(ingest, 2)) == made[2:]
    ingest.release(made)
    ledger.redis.xgroup_setid(stream, "workers", "0")
    assert _ids(_take(ingest, 2)) == made[:2], "after an acknowledgement the id may come anew"


def test_a_lease_whose_answer_was_lost_is_found_again(ledger: Ledger, rollouts: SyntheticRollouts) -> None:
    """Redis leases, and dies before its answer arrives: nobody else may take these rollouts."""
    first, second = rollouts.submit(1)
    ingest = _ingest(ledger)
    assert len(ledger.lease(Stage.SCORED, "trainer", 2, 0.1)) == 2
    assert set(_ids(_take(ingest, 2))) == {first, second}
    assert ingest.next_batch(1, 0, iter([True, True, False]).__next__, 5.0) is None


def test_waiting_ends_when_asked(ledger: Ledger) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert _ingest(ledger).next_batch(1, 0, lambda: not stop.is_set(), 30.0) is None


@pytest.mark.parametrize("leased_before", [True, False])
def test_slots_that_redis_forgot_to_free_are_freed_again(
    ledger: Ledger, rollouts: SyntheticRollouts, leased_before: bool
) -> None:
    """Else, with a staleness of 0, nothing would be admitted and no batch come before the next
    checkpoint, which comes after the next batch."""
    made = rollouts.submit(2)
    ingest = _ingest(ledger)
    if not leased_before:
        before = Snapshot(ledger)
    batch = _take(ingest, 4)
    if leased_before:
        before = Snapshot(ledger)
    for arrival in batch:
        assert ledger.mark_trained([(arrival.lease.id, {"step": 1})])
    ingest.note_trained(arrival.lease.id for arrival in batch)
    before.restore()
    assert ledger.depths()["admitted"] == 4
    time.sleep(1.1 * ledger.settings.ledger.lease_seconds)
    assert ingest.next_batch(4, 1, iter([True, True, False]).__next__, 5.0) is None
    assert ledger.depths()["admitted"] == 0
    assert ledger.states(made) == ["trained"] * 4
    ledger.acknowledge((arrival.lease.entry, arrival.lease.id) for arrival in batch)
    assert ledger.depths()["scored"] + ledger.depths()["scored_leased"] == 0


def test_an_announcement_of_weights_that_redis_lost_is_repeated(
    ledger: Ledger, rollouts: SyntheticRollouts, tmp_path: Path
) -> None:
    """Else generators would go on with weights whose every rollout is too old."""
    before = Snapshot(ledger)
    channel = WeightChannel(ledger.redis, ledger.keys)
    channel.announce(write_version(tmp_path / "w", 3, 2, {}))
    before.restore()
    assert channel.newest() is None
    assert channel.step_of(3) == 2, "its own versions' steps are remembered"
    ingest = Ingest(ledger, channel, "trainer", VOCABULARY, whole_groups=False)
    assert ingest.next_batch(1, 2, iter([True, False]).__next__, 5.0) is None
    newest = channel.newest()
    assert newest is not None
    assert (newest.version, newest.step) == (3, 2)
    assert not channel.announce_if_lost()


def test_a_version_whose_announcement_was_lost_is_not_published_twice(ledger: Ledger, tmp_path: Path) -> None:
    channel = WeightChannel(ledger.redis, ledger.keys)
    publisher = Publisher(tmp_path / "w", channel, tiny_learner())
    assert publisher.newest_version() == 0
    channel.announce(write_version(tmp_path / "w", 1, 1, {}))
    before = Snapshot(ledger)
    channel.announce(write_version(tmp_path / "w", 2, 2, {}))
    before.restore()
    assert channel.newest().version == 1
    assert publisher.newest_version() == 2
