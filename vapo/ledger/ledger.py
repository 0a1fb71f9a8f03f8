"""The ledger: every rollout of a run, and who works on it (design section 4).

Invariants:
- payload once, ids in streams: a rollout is one hash; a stage adds fields to it and moves its id
  to the next stream in one atomic script (at-least-once delivery, exactly-once effect);
- every wait has a deadline, given by the caller;
- the set of rollouts admitted and not yet trained never exceeds the admission capacity, and may
  always grow to a batch, so the trainer never waits for slots that only it could free (where groups
  are trained whole, the last group that a batch needs may go beyond the capacity);
- nothing vanishes: an id is in a stream, trained, dropped with a reason, or a dead letter.

All methods are synchronous and thread-safe; asynchronous callers use ``asyncio.to_thread``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vapo.ledger import leases
from vapo.ledger.connection import RedisClient, connect
from vapo.ledger.control import Control
from vapo.ledger.dead_letters import DeadLetters
from vapo.ledger.fleet import Fleet
from vapo.ledger.journal import Journal
from vapo.ledger.keys import GROUP, TASK_STAGES, Keys, Stage
from vapo.ledger.leases import Lease
from vapo.ledger.newest import Look, Place, look_at, look_through
from vapo.ledger.patience import Seconds, no_seconds
from vapo.ledger.records import TaskRecord, read_rollouts, read_task
from vapo.ledger.run_watch import MARK, RUN, RunWatch
from vapo.ledger.scripts import Move, Scripts
from vapo.messages import Generated, MessageError, Rollout, Task, Values, Verdict, content_digest, encode
from vapo.settings import Settings

TRIM_PER_CALL = 200
STATES_PER_PIPELINE = 1000
DIFFERING_SHOWN = 5


class QueueFull(RuntimeError):
    """The task queue holds as many tasks as it may; try again later."""


class TaskTaken(RuntimeError):
    """An evaluation would need a task id that something else has."""


class TaskDiffers(RuntimeError):
    """Ids are known with another prompt or answer than they come with."""

    def __init__(self, ids: Sequence[str]) -> None:
        shown = ", ".join(map(repr, ids[:DIFFERING_SHOWN]))
        more = f" and {len(ids) - DIFFERING_SHOWN} more" if len(ids) > DIFFERING_SHOWN else ""
        super().__init__(
            f"known with another prompt or answer: {shown}{more}; an id stands for one problem, so "
            "give a changed one an id of its own"
        )
        self.ids = tuple(ids)


class NoteConflict(RuntimeError):
    """A note was changed by someone else since it was read."""


@dataclass(frozen=True)
class Note:
    """A text that must change together with a submission: a data set's position, a record."""

    hash: str
    """Name of the run's hash it is kept in."""
    field: str
    expected: str
    """What it must be now; empty for "not there yet"."""
    value: str


class Ledger:
    """All that the parts do with Redis, for one run."""

    def __init__(self, redis: RedisClient, settings: Settings, watch: RunWatch | None = None) -> None:
        self.redis = redis
        self.keys = Keys(settings.run.name)
        self.settings = settings
        self._scripts = Scripts(redis)
        self.dead_letters = DeadLetters(redis, self.keys, self._scripts)
        self.fleet = Fleet(redis, self.keys, settings.ledger.heartbeat_seconds)
        self.journal = Journal(redis, self.keys)
        self.control = Control(redis, self.keys)
        self.watch = watch or RunWatch(settings)
        if watch is None:
            self.watch.begin(redis)
            leases.make_groups(redis, self.keys)

    @classmethod
    def open(
        cls, settings: Settings, patience_seconds: float | None = None, refusal_seconds: Seconds = no_seconds
    ) -> Ledger:
        """Connect to the Redis the settings name; calls wait that long for one that restarts (by
        default ``redis.patience_seconds``), and ``refusal_seconds`` for one that takes no writes.
        """
        return cls(connect(settings.redis, patience_seconds, refusal_seconds), settings)

    def briefly(self, seconds: float) -> Ledger:
        """The same ledger for calls that wait that long for a Redis that restarts: each ends within
        ``seconds`` and one ``redis.timeout_seconds``.
        """
        return Ledger(connect(self.settings.redis, seconds), self.settings, self.watch)

    # Tasks -----------------------------------------------------------------------------------

    def submit(self, task: Task) -> bool:
        """Queue a task. False when its id is known already (nothing changes).

        Raises:
            QueueFull: ``ledger.task_queue_limit`` training tasks are waiting.
            TaskDiffers: the id is known with another prompt or answer.
        """
        return self.submit_all([task])[0]

    def submit_all(self, tasks: Sequence[Task], notes: Sequence[Note] = ()) -> list[bool]:
        """Queue all tasks or none, and change ``notes`` with them, in one atomic step.

        Returns for each task whether it was accepted; False when its id is known already.

        Raises:
            QueueFull: there is no room for all of the training tasks.
            NoteConflict: a note no longer has the value it was read with; nothing was queued.
            RunLostError: Redis does not hold this run any more; nothing was queued.
            TaskTaken: the id of a task of an evaluation is known; nothing was queued.
            TaskDiffers: ids are known with other content; nothing was queued. Rows of data sets are
                not compared: their ids name the file's content already.
        """
        limit = self.settings.ledger.task_queue_limit
        notes = [*self._mark(), *notes]
        reply = self._scripts(
            "submit_tasks",
            [self.keys.task(task.id) for task in tasks],
            [self.keys.prefix, limit, time.time(), len(notes), *_flat(notes, tasks)],
        )
        if reply == -1:
            raise QueueFull(
                f"no room for {len(tasks)} more tasks: at most {limit} may wait "
                "(ledger.task_queue_limit); retry later or raise the limit"
            )
        if reply == -2:
            self.watch.refuse_if_lost()
            raise NoteConflict(f"{', '.join(note.field for note in notes)} changed meanwhile")
        if reply == -3:
            raise TaskTaken(
                f"a task of evaluation {tasks[0].evaluation!r} would have the id of a "
                "prompt that was submitted before; choose another id for it"
            )
        if reply and reply[0] == -4:
            raise TaskDiffers([tasks[number - 1].id for number in reply[1:]])
        return [accepted == 1 for accepted in reply]

    def _mark(self) -> list[Note]:
        """What Redis must hold for the run to be the one this part began with."""
        mark = self.watch.mark
        return [Note(RUN, MARK, mark, mark)] if mark else []

    def note(self, hash_name: str, field: str) -> str:
        """Value of a note; empty when there is none."""
        return (self.redis.hget(self.keys.named(hash_name), field) or b"").decode()

    def task(self, task_id: str) -> TaskRecord | None:
        """A task and how far it is, or None."""
        return read_task(self.redis, self.keys, task_id)

    def lease_tasks(self, consumer: str, count: int, version: int) -> list[Lease]:
        """Admit and lease up to ``count`` tasks, evaluations first; never waits. A lease names the
        samples it is for, which may be some of its task's.

        ``version`` is the weight version the generator has loaded; one that is behind the newest
        announced version gets nothing until it has caught up.
        """
        reply = self._scripts(
            "lease_tasks",
            [self.keys.named("backlog")],
            [
                self.keys.prefix,
                GROUP,
                consumer,
                count,
                self.settings.admission_capacity,
                self.settings.rollouts_per_step,
                int(self.settings.trains_whole_groups),
                version,
            ],
        )
        return [
            Lease(
                Stage(stage.decode()),
                entry.decode(),
                task_id.decode(),
                tuple(int(part) for part in samples.decode().split(",") if part),
            )
            for stage, entry, task_id, samples in reply
        ]

    def missing_samples(self, lease: Lease) -> list[int]:
        """Samples of a leased task that nobody has generated yet."""
        made = self.redis.hmget(self.keys.task(lease.id), [f"made:{sample}" for sample in lease.samples])
        return [sample for sample, known in zip(lease.samples, made, strict=True) if known is None]

    def record_generated(self, task_id: str, sample: int, generated: Generated) -> bool:
        """Store one finished response and pass it to the verifier. False when known already."""
        rollout_id = f"{task_id}.{sample}"
        return (
            self._scripts(
                "record_generated",
                [self.keys.rollout(rollout_id), self.keys.task(task_id)],
                [
                    self.keys.prefix,
                    rollout_id,
                    task_id,
                    sample,
                    encode(generated),
                    generated.token_ids.size,
                    time.time(),
                ],
            )
            == 1
        )

    def finish_task_lease(self, lease: Lease, give_back: bool = False) -> bool:
        """End a task lease when all its samples exist.

        With ``give_back`` it ends in any case and the missing samples are queued again, for a
        worker that shuts down. Returns False when samples are missing and the lease stays.
        """
        return (
            self._scripts(
                "finish_lease",
                [self.keys.stream(lease.stage)],
                [self.keys.prefix, GROUP, lease.entry, lease.id, lease.sample_list, int(give_back)],
            )
            == 1
        )

    # Stages ----------------------------------------------------------------------------------

    def lease(self, stage: Stage, consumer: str, count: int, block_seconds: float) -> list[Lease]:
        """Lease up to ``count`` rollouts waiting at ``stage``; waits for the first one."""
        return leases.read_new(self.redis, self.keys, stage, consumer, count, block_seconds)

    def pending(self, stage: Stage, consumer: str) -> list[Lease]:
        """What ``consumer`` held when it last stopped, oldest first."""
        return leases.read_pending(self.redis, self.keys, stage, consumer)

    def renew(self, consumer: str, held: Sequence[Lease]) -> None:
        """Keep leases alive; call at least every ``lease_seconds / 3``."""
        for stage in {lease.stage for lease in held}:
            leases.renew(
                self.redis, self.keys, stage, consumer, [lease.entry for lease in held if lease.stage == stage]
            )

    def take_over(self, stage: Stage, consumer: str, count: int) -> list[Lease]:
        """Lease what dead workers left; ids delivered too often become dead letters."""
        limits = self.settings.ledger
        expired = leases.expired(self.redis, self.keys, stage, limits.lease_seconds, count)
        fresh = {entry: deliveries for entry, deliveries in expired if deliveries < limits.max_attempts}
        worn = {entry: deliveries for entry, deliveries in expired if entry not in fresh}
        for lease in leases.claim(self.redis, self.keys, stage, consumer, limits.lease_seconds, worn):
            self.bury(
                lease,
                f"delivered {lease.deliveries - 1} times without a result "
                f"(ledger.max_attempts={limits.max_attempts}){self._last_failure(lease)}",
            )
        return leases.claim(self.redis, self.keys, stage, consumer, limits.lease_seconds, fresh)

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout with all that is known of it, or None. Raises MessageError: malformed."""
        return self.rollouts([rollout_id])[0]

    def rollouts(self, rollout_ids: Sequence[str]) -> list[Rollout | None]:
        """Several rollouts, in order; None where one is gone. Raises MessageError: malformed."""
        return [_sound(record) for record in read_rollouts(self.redis, self.keys, rollout_ids)]

    def readable_rollouts(self, rollout_ids: Sequence[str]) -> list[Rollout]:
        """Those of ``rollout_ids`` that are there and can be read, in order: for lists, which one
        malformed record must not hide.
        """
        records = read_rollouts(self.redis, self.keys, rollout_ids)
        return [record for record in records if isinstance(record, Rollout)]

    def load(self, held: Sequence[Lease]) -> list[tuple[Lease, Rollout]]:
        """Records of leased rollouts. A lease whose record cannot be used is buried instead."""
        loaded = []
        records = read_rollouts(self.redis, self.keys, [lease.id for lease in held])
        for lease, record in zip(held, records, strict=True):
            if record is None:
                self.bury(lease, f"the record of rollout {lease.id} is gone")
            elif isinstance(record, MessageError):
                self.bury(lease, f"the record of rollout {lease.id} is unreadable: {record}")
            else:
                loaded.append((lease, record))
        return loaded

    def state(self, rollout_id: str) -> str | None:
        """Where a rollout is: a stage's name, ``trained``, ``acknowledged``...; None if gone."""
        state = self.redis.hget(self.keys.rollout(rollout_id), "state")
        return None if state is None else state.decode()

    def states(self, rollout_ids: Iterable[str]) -> list[str | None]:
        """:meth:`state` of many, in few round trips."""
        found: list[str | None] = []
        ids = iter(rollout_ids)
        while some := list(islice(ids, STATES_PER_PIPELINE)):
            with self.redis.pipeline(transaction=False) as pipe:
                for rollout_id in some:
                    pipe.hget(self.keys.rollout(rollout_id), "state")
                found += [None if state is None else state.decode() for state in pipe.execute()]
        return found

    def record_verdict(self, lease: Lease, rollout: Rollout, verdict: Verdict) -> bool:
        """Store a verdict and pass the rollout on. False when it had moved already.

        A training rollout goes to the value service, or in a run without a critic straight to the
        trainer; one without a reward (the reference could not be judged) is dropped, never
        punished. An evaluation's rollout ends here.
        """
        return self.record_all_verdicts([(lease, rollout, verdict)]) == 1

    def record_all_verdicts(self, judged: Sequence[tuple[Lease, Rollout, Verdict]]) -> int:
        """:meth:`record_verdict` of many, each atomic by itself; returns how many moved."""
        moves: dict[str, list[Move]] = {"advance": [], "drop": []}
        for lease, rollout, verdict in judged:
            script, move = self._judged(lease, rollout, verdict)
            moves[script].append(move)
        return sum(sum(self._scripts.many(script, some)) for script, some in moves.items())

    def record_values(self, lease: Lease, values: Values) -> bool:
        """Store a critic's values and pass the rollout to the trainer."""
        return self.record_all_values([(lease, values)]) == 1

    def record_all_values(self, scored: Sequence[tuple[Lease, Values]]) -> int:
        """:meth:`record_values` of many, each atomic by itself; returns how many moved."""
        stage = str(Stage.SCORED)
        return sum(
            self._scripts.many(
                "advance",
                (self._leaving(lease, stage, "values", encode(values), time.time(), "") for lease, values in scored),
            )
        )

    def drop(self, lease: Lease, reason: str, requeue: bool) -> bool:
        """Take a leased rollout out, with a reason, and free its slot; re-queue it if asked."""
        return self.drop_all([lease], reason, requeue) == 1

    def drop_all(self, held: Sequence[Lease], reason: str, requeue: bool) -> int:
        """:meth:`drop` of many, each atomic by itself; returns how many were dropped."""
        return sum(
            self._scripts.many(
                "drop", (self._leaving(lease, reason, int(requeue), time.time(), "", b"") for lease in held)
            )
        )

    def bury(self, lease: Lease, reason: str) -> bool:
        """Move a leased id to the dead letters, with its reason."""
        is_task = lease.stage in TASK_STAGES
        key = self.keys.task(lease.id) if is_task else self.keys.rollout(lease.id)
        return (
            self._scripts(
                "bury",
                [key, self.keys.stream(lease.stage)],
                [
                    self.keys.prefix,
                    GROUP,
                    lease.entry,
                    str(lease.stage),
                    lease.id,
                    lease.sample_list,
                    reason[:2000],
                    time.time(),
                ],
            )
            == 1
        )

    def fail(self, lease: Lease, reason: str) -> bool:
        """An attempt ended with ``reason``. The last one allowed buries the id; until then it stays
        leased, to be delivered again. Returns whether it was buried.
        """
        limit = self.settings.ledger.max_attempts
        if lease.deliveries >= limit:
            return self.bury(lease, f"failed {lease.deliveries} times (ledger.max_attempts={limit}); last: {reason}")
        self.note_failure(lease, reason)
        return False

    def note_failure(self, lease: Lease, reason: str) -> None:
        """Remember why an attempt ended, for the dead letter of an id delivered too often."""
        limits = self.settings.ledger
        seconds = math.ceil(limits.lease_seconds * (limits.max_attempts + 1)) + 60
        self.redis.set(self._failure_key(lease), reason[:1000], ex=seconds)

    def _last_failure(self, lease: Lease) -> str:
        reason = self.redis.get(self._failure_key(lease))
        return f"; last failure: {reason.decode()}" if reason else ""

    def _failure_key(self, lease: Lease) -> str:
        return self.keys.named(f"failure:{lease.stage}:{lease.entry}")

    # Trainer ---------------------------------------------------------------------------------

    def mark_trained(self, rollout_id: str, note: Mapping[str, Any]) -> bool:
        """Free the slot of a rollout after its optimiser step; its lease stays."""
        return self.mark_all_trained([(rollout_id, note)]) == 1

    def mark_all_trained(self, notes: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
        """:meth:`mark_trained` of many, each atomic by itself; returns how many were marked."""
        return sum(
            self._scripts.many(
                "mark_trained",
                (
                    ([self.keys.rollout(rollout_id)], [self.keys.prefix, rollout_id, encode(dict(note)), time.time()])
                    for rollout_id, note in notes
                ),
            )
        )

    def acknowledge(self, entry: str, rollout_id: str) -> bool:
        """A durable checkpoint holds the rollout's effect: end its lease for good."""
        return self.acknowledge_all([(entry, rollout_id)]) == 1

    def acknowledge_all(self, held: Iterable[tuple[str, str]]) -> int:
        """:meth:`acknowledge` of many (entry, rollout id), each atomic by itself; returns how many
        leases ended.
        """
        stream = self.keys.stream(Stage.SCORED)
        return sum(
            self._scripts.many(
                "acknowledge",
                (
                    ([self.keys.rollout(rollout_id), stream], [self.keys.prefix, GROUP, entry, rollout_id])
                    for entry, rollout_id in held
                ),
            )
        )

    def redeliver(self, consumer: str) -> list[Lease]:
        """After a trainer's restart: exactly the rollouts trained since its checkpoint, and those
        it had leased and not trained, in their first order.
        """
        held = self.pending(Stage.SCORED, consumer)
        states = self._scripts.many(
            "redeliver", (([self.keys.rollout(lease.id)], [self.keys.prefix, lease.id]) for lease in held)
        )
        return [lease for lease, state in zip(held, states, strict=True) if state == b"scored"]

    def trim(self) -> int:
        """Delete finished payloads beyond the retention limit, and records of tasks that ended long
        ago; returns how many went.
        """
        limits = self.settings.ledger
        return self._scripts(
            "trim",
            [self.keys.named("finished"), self.keys.named("ended_tasks")],
            [self.keys.prefix, limits.retained_rollouts, limits.retained_tasks, TRIM_PER_CALL],
        )

    # Reading ---------------------------------------------------------------------------------

    def depths(self) -> dict[str, int]:
        """Ids per queue: waiting (``tasks``, ``generated``...), leased (``tasks_leased``...), and
        ``backlog``, ``admitted``, ``dead``. What the trainer has used stays leased until its
        checkpoint is durable.
        """
        with self.redis.pipeline(transaction=False) as pipe:
            for stage in Stage:
                pipe.xlen(self.keys.stream(stage))
                pipe.xpending(self.keys.stream(stage), GROUP)
            pipe.llen(self.keys.named("backlog"))
            pipe.scard(self.keys.named("admitted"))
            pipe.xlen(self.keys.named("stream:dead"))
            *streams, backlog, admitted, dead = pipe.execute()
        depths = {"backlog": backlog, "admitted": admitted, "dead": dead}
        for stage, total, held in zip(Stage, streams[::2], streams[1::2], strict=True):
            depths[str(stage)] = total - held["pending"]
            depths[f"{stage}_leased"] = held["pending"]
        return depths

    def counters(self) -> dict[str, int]:
        """Totals since the run began: submitted, generated, trained, dropped by reason, ..."""
        raw = self.redis.hgetall(self.keys.named("counters"))
        return {name.decode(): int(value) for name, value in raw.items()}

    def newest_rollouts(self, before: Place | None = None) -> Iterator[Look]:
        """All rollouts there are by the time they were generated, newest first, or those older
        than ``before``; read as far as the caller goes.
        """
        return look_through(self.redis, self.keys, before)

    def rollouts_of(self, task_id: str) -> list[Look]:
        """The rollouts of one task that there are, newest first."""
        record = self.task(task_id)
        ids = [f"{task_id}.{sample}" for sample in range(record.samples)] if record else []
        return look_at(self.redis, self.keys, ids)

    def evaluation_results(self, evaluation_id: str) -> dict[str, dict[str, Any]]:
        """Rollout id to verdict, extracted answer, length and version of one evaluation."""
        return self.journal.read_results(self.keys.evaluation(evaluation_id))

    def _judged(self, lease: Lease, rollout: Rollout, verdict: Verdict) -> tuple[str, Move]:
        """The script by which a judged rollout leaves the verifier, and its arguments."""
        field, body, now = "verdict", encode(verdict), time.time()
        if rollout.task.purpose == "eval":
            self._note_evaluation(rollout, verdict)
            return "advance", self._leaving(lease, "", field, body, now, "done")
        if verdict.reward is None:
            reason = f"verdict_{verdict.verdict}"
            return "drop", self._leaving(lease, reason, 0, now, field, body)
        stage = str(Stage.VERIFIED if self.settings.has_critic else Stage.SCORED)
        return "advance", self._leaving(lease, stage, field, body, now, "")

    def _note_evaluation(self, rollout: Rollout, verdict: Verdict) -> None:
        self.journal.note_result(
            self.keys.evaluation(rollout.task.evaluation or "none"),
            rollout.id,
            {
                "verdict": verdict.verdict,
                "extracted": verdict.extracted,
                "tokens": int(rollout.generated.token_ids.size),
                "oldest_version": rollout.generated.oldest_version,
                "newest_version": rollout.generated.newest_version,
                "finish_reason": rollout.generated.finish_reason,
                **({"reason": verdict.reason} if verdict.reward is None else {}),
            },
        )

    def _leaving(self, lease: Lease, *arguments: Any) -> Move:
        """A call of a script by which a leased rollout leaves its stage (``advance``, ``drop``)."""
        stage = str(lease.stage)
        return (
            [self.keys.rollout(lease.id), self.keys.stream(lease.stage)],
            [self.keys.prefix, GROUP, lease.entry, lease.id, stage, *arguments],
        )


def _flat(notes: Sequence[Note], tasks: Sequence[Task]) -> Iterator[Any]:
    """Notes and tasks as the script ``submit_tasks`` reads them."""
    for note in notes:
        yield from (note.hash, note.field, note.expected, note.value)
    for task in tasks:
        compared = int(task.dataset is None)
        yield from (task.id, encode(task), task.samples, task.purpose, task.evaluation or "")
        yield from (content_digest(task), compared)


def _sound(record: Rollout | MessageError | None) -> Rollout | None:
    if isinstance(record, MessageError):
        raise record
    return record
