"""Whatever has happened to the ledger, the trainer reaches its next full batch in a few moves."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import trainer.intake.ingest
from tests.support.forgetful_redis import Snapshot
from tests.support.ledger_records import CORRECT, NOT_JUDGED, WRONG, close, generated, settings_for, task, values
from trainer.intake.dynamic_sampling import Discarded
from trainer.intake.ingest import Arrival, Ingest
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.audit import audit
from vapo.local.private_redis import PrivateRedis
from vapo.messages import Verdict
from vapo.settings import Settings
from vapo.weights import WeightChannel
from vapo.weights.manifest import Manifest

ROUNDS = 40
"""Looks of every part at its queue within which a batch must be there."""
LEASE_SECONDS = 0.001
WORKERS = ("one", "two")
STAGES = (Stage.GENERATED, Stage.VERIFIED, Stage.SCORED)
VOCABULARY = 100


@dataclass
class Held:
    """What a worker holds, and the weights it had as it took it."""

    lease: Lease
    version: int


class Training:
    """All parts of a run, moved by hand: generators, verifier, value service and trainer."""

    def __init__(self, settings: Settings) -> None:
        self.ledger = Ledger.open(settings)
        self.channel = WeightChannel(self.ledger.redis, self.ledger.keys)
        self.settings, self.batch = settings, settings.rollouts_per_step
        self.step = self.saved = self.version = 0
        self.tasks: list[Held] = []
        self.late: list[Held] = []
        self.held: dict[Stage, list[Lease]] = {stage: [] for stage in STAGES}
        self.trained: list[Lease] = []
        self.names = itertools.count()
        self.discarded: Discarded | None = None
        self.begin_trainer()

    # The trainer -----------------------------------------------------------------------------

    def begin_trainer(self) -> None:
        """Start, or start again from the last checkpoint; the weights are published anew."""
        self.ingest = Ingest(self.ledger, self.channel, "trainer", VOCABULARY, self.settings.trains_whole_groups)
        self.step, self.trained, self.discarded = self.saved, [], None
        self.ingest.resume(())
        self.publish()

    def publish(self) -> None:
        self.version += 1
        self.channel.announce(Manifest(self.version, self.step, {}, 0.0))

    def next_batch(self) -> list[Arrival] | None:
        """The trainer's look at its queue."""
        if self.discarded is None and self.settings.algorithm.drop_uniform_groups:
            limit = self.settings.trainer.uniform_batches_limit * self.batch
            self.discarded = Discarded(limit)
        looks = iter([True] * 3 + [False])
        return self.ingest.next_batch(self.batch, self.step, looks.__next__, 60.0, self.discarded)

    def train(self, batch: list[Arrival]) -> None:
        assert len(batch) >= self.batch
        self.step, self.discarded = self.step + 1, None
        if self.step % self.settings.trainer.publish_every_steps == 0:
            self.publish()
        for arrival in batch:
            self.ledger.mark_trained([(arrival.lease.id, {"step": self.step})])
        self.trained += [arrival.lease for arrival in batch]
        self.ingest.note_trained(arrival.lease.id for arrival in batch)

    def checkpoint(self) -> None:
        self.ledger.acknowledge((lease.entry, lease.id) for lease in self.trained)
        self.ingest.release(lease.id for lease in self.trained)
        self.saved, self.trained = self.step, []
        self.ledger.trim()

    def forget(self, snapshot: Snapshot) -> None:
        """Redis loses what was written since; the trainer tells it again what it knows."""
        snapshot.restore()
        self.ingest._next_look = 0.0

    # The others ------------------------------------------------------------------------------

    def submit(self, samples: int, purpose: str = "train") -> None:
        fields = {"evaluation": "e"} if purpose == "eval" else {}
        self.ledger.submit([task(f"t{next(self.names)}", samples, purpose=purpose, **fields)])

    def lease_tasks(self, worker: str, count: int, version: int) -> None:
        before = self.ledger.depths()["admitted"]
        leases = self.ledger.lease_tasks(worker, count, version)
        self.tasks += [Held(lease, version) for lease in leases]
        if not self.settings.trains_whole_groups:
            capacity = self.settings.admission_capacity
            assert self.ledger.depths()["admitted"] <= max(before, capacity)

    def generate(self, held: Held, sample: int) -> None:
        self.ledger.record_generated(held.lease.id, sample, generated(version=held.version))

    def judge(self, lease: Lease, verdict: Verdict) -> None:
        rollout = self.ledger.rollout(lease.id)
        if rollout is not None:
            self.ledger.record_verdicts([(lease, rollout, verdict)])

    def take_over(self) -> None:
        """Every lease has run out; another worker has taken what was not worn out."""
        time.sleep(2 * LEASE_SECONDS)
        for stage in (Stage.EVAL_TASKS, Stage.TASKS):
            taken = self.ledger.take_over(stage, "heir", 1000)
            self.late += self.tasks
            self.tasks = [Held(lease, self.version) for lease in taken]
            for held in self.tasks:
                self.serve(held)
        for stage in STAGES[:2]:
            self.held[stage] = self.ledger.take_over(stage, "heir", 1000)

    def serve(self, held: Held) -> None:
        for sample in self.ledger.missing_samples(held.lease):
            self.generate(held, sample)
        self.ledger.finish_task_lease(held.lease)

    def look(self) -> list[Arrival] | None:
        """Every part looks at its queue once and does its work."""
        self.take_over()
        if self.ledger.depths()["backlog"] < 4:
            for samples in (3, 5, 2, 7):
                self.submit(samples)
        self.lease_tasks("heir", 8, self.version)
        for held in self.tasks:
            self.serve(held)
        self.tasks = []
        verified = self.held[Stage.GENERATED] + self._leased(Stage.GENERATED)
        for number, lease in enumerate(verified):
            self.judge(lease, CORRECT if number % 2 else WRONG)
        for lease in self.held[Stage.VERIFIED] + self._leased(Stage.VERIFIED):
            self.ledger.record_values([(lease, values())])
        self.held = {stage: [] for stage in STAGES}
        return self.next_batch()

    def _leased(self, stage: Stage) -> list[Lease]:
        return self.ledger.lease(stage, "heir", 1000, 0)


class AnyHistory(RuleBasedStateMachine):
    """Loss, burial, late workers, restarts, a forgetful Redis, unequal sample counts; and then a
    batch."""

    def __init__(self, redis: PrivateRedis) -> None:
        super().__init__()
        self.redis = redis
        self.snapshot: Snapshot | None = None

    @initialize(
        staleness=st.integers(0, 3),
        publish=st.integers(1, 4),
        prompts=st.integers(1, 4),
        samples=st.integers(1, 4),
        kind=st.sampled_from(["gae", "group", "dynamic"]),
    )
    def begin(self, staleness: int, publish: int, prompts: int, samples: int, kind: str) -> None:
        self.run = Training(
            settings_for(
                self.redis.settings,
                f"ledger.max_staleness={staleness}",
                f"trainer.publish_every_steps={min(publish, staleness + 1)}",
                f"trainer.prompts_per_step={prompts}",
                f"sampling.samples_per_prompt={samples if kind == 'gae' else max(2, samples)}",
                f"trainer.mini_batch_rollouts={prompts}",
                "trainer.uniform_batches_limit=1",
                f"algorithm.estimator={'gae' if kind == 'gae' else 'group'}",
                f"algorithm.drop_uniform_groups={'true' if kind == 'dynamic' else 'false'}",
                f"ledger.lease_seconds={LEASE_SECONDS}",
                "ledger.max_attempts=3",
                "ledger.retained_rollouts=2",
            )
        )

    def teardown(self) -> None:
        if hasattr(self, "run"):
            self.reaches_the_next_batch()
            assert audit(self.run.ledger).lost == ()
            close(self.run.ledger)

    @rule(samples=st.lists(st.integers(1, 40), min_size=1, max_size=4))
    def submit(self, samples: list[int]) -> None:
        for number in samples:
            self.run.submit(number)

    @rule(samples=st.integers(1, 20))
    def evaluate(self, samples: int) -> None:
        self.run.submit(samples, "eval")

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 6), behind=st.integers(0, 1))
    def lease_tasks(self, worker: str, count: int, behind: int) -> None:
        self.run.lease_tasks(worker, count, self.run.version - behind)

    @precondition(lambda self: self.run.tasks)
    @rule(data=st.data(), most=st.integers(1, 10))
    def generate(self, data: st.DataObject, most: int) -> None:
        held = data.draw(st.sampled_from(self.run.tasks))
        for sample in self.run.ledger.missing_samples(held.lease)[:most]:
            self.run.generate(held, sample)

    @precondition(lambda self: self.run.late)
    @rule(data=st.data())
    def generate_late(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.run.late))
        self.run.generate(held, data.draw(st.sampled_from(held.lease.samples)))

    @precondition(lambda self: self.run.tasks)
    @rule(data=st.data(), how=st.sampled_from(["finish", "give back", "die", "bury"]))
    def end_task(self, data: st.DataObject, how: str) -> None:
        held = data.draw(st.sampled_from(self.run.tasks))
        if how == "bury":
            self.run.ledger.bury(held.lease, "a test")
        elif how != "die":
            ended = self.run.ledger.finish_task_lease(held.lease, give_back=how == "give back")
            if not ended:
                return
        self.run.tasks.remove(held)
        self.run.late.append(held)

    @rule(stage=st.sampled_from(STAGES[:2]), count=st.integers(1, 8))
    def lease(self, stage: Stage, count: int) -> None:
        self.run.held[stage] += self.run.ledger.lease(stage, "one", count, 0)

    @precondition(lambda self: self.run.held[Stage.GENERATED])
    @rule(verdicts=st.lists(st.sampled_from([CORRECT, CORRECT, WRONG, NOT_JUDGED]), min_size=1))
    def judge(self, verdicts: list[Verdict]) -> None:
        held = self.run.held[Stage.GENERATED]
        for verdict in verdicts[: len(held)]:
            self.run.judge(held.pop(0), verdict)

    @precondition(lambda self: self.run.held[Stage.VERIFIED])
    @rule(count=st.integers(1, 8))
    def score(self, count: int) -> None:
        held = self.run.held[Stage.VERIFIED]
        for lease in held[:count]:
            self.run.ledger.record_values([(lease, values())])
        del held[:count]

    @precondition(lambda self: any(self.run.held.values()))
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from([held for held in self.run.held.values() if held]))
        self.run.ledger.bury(held.pop(), "a test")

    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        letters = self.run.ledger.dead_letters.list()
        if letters:
            self.run.ledger.dead_letters.revive(data.draw(st.sampled_from(letters)).entry)

    @rule()
    def take_over(self) -> None:
        self.run.take_over()

    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshot = Snapshot(self.run.ledger)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def lose_the_last_writes(self) -> None:
        self.run.forget(self.snapshot)
        self.snapshot = None

    @rule()
    def restart_the_trainer(self) -> None:
        self.run.begin_trainer()

    @rule()
    def checkpoint(self) -> None:
        self.run.checkpoint()

    @rule()
    def look_for_a_batch(self) -> None:
        batch = self.run.next_batch()
        if batch is not None:
            self.run.train(batch)

    @rule()
    def reaches_the_next_batch(self) -> None:
        for _ in range(ROUNDS):
            batch = self.run.look()
            if batch is not None:
                self.run.train(batch)
                return
        raise AssertionError(f"no batch of {self.run.batch}: {self.run.ledger.depths()}")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.intake.ingest, "BLOCK_SECONDS", 0.0)


def test_the_trainer_always_reaches_its_next_batch(redis_server: PrivateRedis) -> None:
    run_state_machine_as_test(
        lambda: AnyHistory(redis_server), settings=hypothesis.settings(max_examples=60, stateful_step_count=30)
    )
