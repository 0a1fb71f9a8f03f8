"""Admission: the rollouts admitted and not yet trained never exceed the capacity."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.ledger_records import CORRECT, NOT_JUDGED, generated, task, values
from vapo.ledger import Ledger, Stage
from vapo.ledger.leases import Lease

MakeLedger = Callable[..., Ledger]


def test_no_more_than_the_capacity_is_admitted(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.max_staleness=1")
    assert ledger.settings.admission_capacity == 16
    ledger.submit([task(f"t{number}", 2) for number in range(20)])
    leases = ledger.lease_tasks("generator", 100, version=0)
    assert sum(len(lease.samples) for lease in leases) == 16
    assert ledger.lease_tasks("generator", 100, version=0) == []
    assert ledger.depths()["backlog"] == 12


def test_a_trained_rollout_frees_its_slot(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(
        "trainer.prompts_per_step=1",
        "sampling.samples_per_prompt=1",
        "trainer.mini_batch_rollouts=1",
        "ledger.max_staleness=0",
    )
    ledger.submit([task("a", 1), task("b", 1)])
    [lease] = ledger.lease_tasks("generator", 9, version=0)
    ledger.record_generated("a", 0, generated())
    ledger.finish_task_lease(lease)
    [verifying] = ledger.lease(Stage.GENERATED, "v", 1, 0.1)
    ledger.record_verdicts([(verifying, ledger.rollout("a.0"), CORRECT)])
    [scoring] = ledger.lease(Stage.VERIFIED, "s", 1, 0.1)
    ledger.record_values([(scoring, values())])
    assert ledger.lease_tasks("generator", 9, version=0) == []
    assert ledger.mark_trained([("a.0", {"step": 1})])
    assert not ledger.mark_trained([("a.0", {"step": 1})])
    assert [lease.id for lease in ledger.lease_tasks("generator", 9, version=0)] == ["b"]


def _train_all(ledger: Ledger) -> None:
    """What is admitted is trained: its slots are free."""
    for rollout in ledger.redis.smembers(ledger.keys.named("admitted")):
        ledger.redis.hset(ledger.keys.rollout(rollout.decode()), "state", "scored")
        assert ledger.mark_trained([(rollout.decode(), {})])


def test_a_task_larger_than_the_capacity_is_admitted_in_portions(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    ledger.submit([task("large", 40), task("small", 1)])
    portions = []
    for _ in range(3):
        portions += ledger.lease_tasks("generator", 9, version=0)
        assert ledger.depths()["admitted"] <= ledger.settings.admission_capacity == 16
        _train_all(ledger)
    assert [(lease.id, len(lease.samples)) for lease in portions] == [
        ("large", 16),
        ("large", 16),
        ("large", 8),
        ("small", 1),
    ]
    samples = [sample for lease in portions[:3] for sample in lease.samples]
    assert samples == list(range(40))


def test_a_task_that_does_not_fit_waits_only_while_a_batch_is_admitted(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.max_staleness=1")
    ledger.submit([task("a", 8), task("large", 9)])
    assert [lease.id for lease in ledger.lease_tasks("g", 9, version=0)] == ["a"]
    rollout = ledger.keys.rollout("a.0")
    ledger.redis.hset(rollout, "state", "scored")
    ledger.mark_trained([("a.0", {})])
    [lease] = ledger.lease_tasks("g", 9, version=0)
    assert (lease.id, lease.samples) == ("large", tuple(range(9))), "7 of a batch of 8 are there"


def test_with_no_staleness_what_was_dropped_is_made_up_for(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.max_staleness=0")
    ledger.submit([task(f"t{number}", 2) for number in range(6)])
    for lease in ledger.lease_tasks("g", 9, version=0):
        for sample in lease.samples:
            ledger.record_generated(lease.id, sample, generated())
    [dropped] = ledger.lease(Stage.GENERATED, "v", 1, 0)
    ledger.record_verdicts([(dropped, ledger.rollout(dropped.id), NOT_JUDGED)])
    [first] = ledger.lease_tasks("g", 9, version=0)
    assert (first.id, first.samples) == ("t4", (0,))
    [buried] = ledger.lease(Stage.GENERATED, "v", 1, 0)
    ledger.bury(buried, "a test")
    [second] = ledger.lease_tasks("g", 9, version=0)
    assert (second.id, second.samples) == ("t4", (1,))
    assert ledger.depths()["admitted"] == 8


def test_a_group_is_never_admitted_in_part_where_groups_are_trained_whole(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.max_staleness=0", "algorithm.estimator=group")
    ledger.submit([task("a", 7), task("b", 5), task("c", 1)])
    leases = ledger.lease_tasks("g", 9, version=0)
    assert [(lease.id, len(lease.samples)) for lease in leases] == [("a", 7), ("b", 5)]
    for sample in range(3):
        ledger.record_generated("a", sample, generated())
    held = ledger.lease(Stage.GENERATED, "v", 3, 0)
    assert ledger.drop(held, "stale", requeue=True) == 3
    again = ledger.lease_tasks("g", 9, version=0)
    assert {lease.id for lease in again} == {"a"}, "the others of the group hold their slots"
    assert sum(len(lease.samples) for lease in again) == 3


def test_a_task_of_very_many_samples_is_admitted(make_ledger: MakeLedger) -> None:
    """Lua's stack holds about 8,000 values."""
    ledger = make_ledger("ledger.max_staleness=4000")
    ledger.submit([task("a", 20_000)])
    [lease] = ledger.lease_tasks("g", 1, version=0)
    assert len(lease.samples) == 20_000
    assert ledger.bury(lease, "a test")
    assert ledger.depths()["admitted"] == 0


def test_a_pause_admits_nothing_but_evaluations_go_on(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    ledger.control.pause()
    ledger.submit([task("a"), task("e", purpose="eval", evaluation="x")])
    assert [lease.id for lease in ledger.lease_tasks("generator", 9, version=0)] == ["e"]
    ledger.control.resume()
    assert [lease.id for lease in ledger.lease_tasks("generator", 9, version=0)] == ["a"]


def test_concurrent_generators_together_stay_within_the_capacity(make_ledger: MakeLedger) -> None:
    ledger = make_ledger("ledger.max_staleness=0")
    ledger.submit([task(f"t{number}", 1) for number in range(50)])
    with ThreadPoolExecutor(8) as pool:
        leased = pool.map(lambda worker: ledger.lease_tasks(f"g{worker}", 3, version=0), range(24))
    assert sum(map(len, leased)) == ledger.settings.admission_capacity == 8


class RandomRun:
    """Random operations of all parts, with what must hold checked after each."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger, self.random = ledger, random.Random(seed)
        self.tasks: list[Lease] = []
        self.held: dict[Stage, list[Lease]] = {stage: [] for stage in Stage}
        self.submitted = 0

    def step(self) -> None:
        self.random.choice(
            [
                self.submit,
                self.lease_tasks,
                self.generate,
                self.end_task,
                self.lease,
                self.verify,
                self.score,
                self.train,
                self.bury,
                self.revive,
            ]
        )()
        assert self.ledger.depths()["admitted"] <= self.ledger.settings.admission_capacity

    def submit(self) -> None:
        self.ledger.submit([task(f"t{self.submitted}", self.random.randint(1, 5))])
        self.submitted += 1

    def lease_tasks(self) -> None:
        self.tasks += self.ledger.lease_tasks("g", self.random.randint(1, 4), version=0)

    def generate(self) -> None:
        if self.tasks:
            lease = self.random.choice(self.tasks)
            self.ledger.record_generated(lease.id, self.random.choice(lease.samples), generated())

    def end_task(self) -> None:
        if self.tasks:
            lease = self.random.choice(self.tasks)
            if self.ledger.finish_task_lease(lease, give_back=self.random.random() < 0.3):
                self.tasks.remove(lease)

    def lease(self) -> None:
        stage = self.random.choice([Stage.GENERATED, Stage.VERIFIED, Stage.SCORED])
        self.held[stage] += self.ledger.lease(stage, "w", self.random.randint(1, 3), 0)

    def verify(self) -> None:
        if lease := self._pick(Stage.GENERATED):
            verdict = self.random.choice([CORRECT, CORRECT, NOT_JUDGED])
            assert self.ledger.record_verdicts([(lease, self.ledger.rollout(lease.id), verdict)])

    def score(self) -> None:
        if lease := self._pick(Stage.VERIFIED):
            assert self.ledger.record_values([(lease, values())])

    def train(self) -> None:
        if lease := self._pick(Stage.SCORED):
            if self.random.random() < 0.3:
                assert self.ledger.drop([lease], "stale", requeue=True)
            else:
                assert self.ledger.mark_trained([(lease.id, {})])
                assert self.ledger.acknowledge([(lease.entry, lease.id)])

    def bury(self) -> None:
        stage = self.random.choice([Stage.GENERATED, Stage.VERIFIED, Stage.SCORED])
        if self.tasks and self.random.random() < 0.3:
            self.ledger.bury(self.tasks.pop(), "test")
        elif lease := self._pick(stage):
            assert self.ledger.bury(lease, "test")

    def revive(self) -> None:
        # A revived letter takes its slot back even when that is one too many.
        letters = self.ledger.dead_letters.list()
        if letters and self.ledger.depths()["admitted"] < self.ledger.settings.admission_capacity:
            assert self.ledger.dead_letters.revive(self.random.choice(letters).entry)

    def finish(self) -> None:
        """Everything is done as it should be until nothing is left."""
        for letter in self.ledger.dead_letters.list():
            self.ledger.dead_letters.revive(letter.entry)
        for lease in self.tasks:
            self.ledger.finish_task_lease(lease, give_back=True)
        for _ in range(2000):
            for lease in self.ledger.lease_tasks("g", 10, version=0):
                for sample in self.ledger.missing_samples(lease):
                    assert self.ledger.record_generated(lease.id, sample, generated())
                assert self.ledger.finish_task_lease(lease)
            for stage in (Stage.GENERATED, Stage.VERIFIED, Stage.SCORED):
                self.held[stage] += self.ledger.lease(stage, "w", 100, 0)
            self._work_off()
            depths = self.ledger.depths()
            if not any(depths.values()):
                return
        raise AssertionError(depths)

    def _work_off(self) -> None:
        while lease := self._pick(Stage.GENERATED):
            self.ledger.record_verdicts([(lease, self.ledger.rollout(lease.id), CORRECT)])
        while lease := self._pick(Stage.VERIFIED):
            self.ledger.record_values([(lease, values())])
        while lease := self._pick(Stage.SCORED):
            self.ledger.mark_trained([(lease.id, {})])
            self.ledger.acknowledge([(lease.entry, lease.id)])

    def _pick(self, stage: Stage) -> Lease | None:
        held = self.held[stage]
        return held.pop(self.random.randrange(len(held))) if held else None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_bound_holds_and_nothing_is_lost(make_ledger: MakeLedger, seed: int) -> None:
    ledger = make_ledger("ledger.max_staleness=0", "ledger.retained_rollouts=3")
    run = RandomRun(ledger, seed)
    for step in range(600):
        run.step()
        if step % 50 == 0:
            ledger.trim()
    run.finish()
    for number in range(run.submitted):
        record = ledger.task(f"t{number}")
        assert (record.state, record.made) == ("done", record.samples), record
    counters = ledger.counters()
    wanted = sum(ledger.task(f"t{number}").samples for number in range(run.submitted))
    gone = counters.get("dropped:verdict_error", 0)
    assert counters["trained"] + gone == wanted, "each sample was trained once, or not judgeable"
