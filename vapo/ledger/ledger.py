"""The ledger: every rollout of a run, from its submission to the checkpoint that holds its effect.

What it reads is in :mod:`vapo.ledger.books`, who works on what in :mod:`vapo.ledger.leases`; here are
the moves.

Invariants:
- payload once, ids in streams: a rollout is one hash; a stage adds fields to it and moves its id
  to the next stream in one atomic script (at-least-once delivery, exactly-once effect); which
  stream that is, :mod:`vapo.ledger.routes` says;
- a call for several rollouts is atomic for each of them, and not for all together;
- every wait has a deadline, given by the caller;
- the set of rollouts admitted and not yet trained never exceeds the admission capacity, and may
  always grow to a batch, so the trainer never waits for slots that only it could free (where groups
  are trained whole, the last group that a batch needs may go beyond the capacity);
- nothing vanishes: an id is in a stream, trained, dropped with a reason, or a dead letter.

All methods are synchronous and thread-safe; asynchronous callers use ``asyncio.to_thread``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vapo.ledger import submission
from vapo.ledger.connection import RedisClient, connect
from vapo.ledger.control import Control
from vapo.ledger.dead_letters import DeadLetters
from vapo.ledger.fleet import Fleet
from vapo.ledger.journal import Journal
from vapo.ledger.keys import GROUP, TASK_STAGES, Field, Key, Stage, State
from vapo.ledger.leases import Lease, Leases, sample_numbers
from vapo.ledger.patience import Seconds, no_seconds
from vapo.ledger.routes import Event, Journey, Place, journey_of, next_place
from vapo.ledger.run_watch import MARK, RunWatch
from vapo.ledger.scripts import Move
from vapo.ledger.submission import Note, NoteConflict
from vapo.messages import Generated, Rollout, Task, Values, Verdict, encode
from vapo.settings import Settings

TRIM_PER_CALL = 200


class Ledger(Leases):
    """All that the parts do with Redis, for one run."""

    def __init__(self, redis: RedisClient, settings: Settings, watch: RunWatch) -> None:
        """Over a connection to a run that has begun; see :meth:`open`."""
        super().__init__(redis, settings)
        self.dead_letters = DeadLetters(redis, self.keys, self._scripts)
        self.fleet = Fleet(redis, self.keys, settings.ledger.heartbeat_seconds)
        self.journal = Journal(redis, self.keys)
        self.control = Control(redis, self.keys)
        self.watch = watch

    @classmethod
    def open(
        cls,
        settings: Settings,
        patience_seconds: float | None = None,
        refusal_seconds: Seconds = no_seconds,
        watch: RunWatch | None = None,
    ) -> Ledger:
        """Connect to the Redis the settings name, and begin the run if nothing has.

        Calls wait that long for a Redis that restarts (by default ``redis.patience_seconds``), and
        ``refusal_seconds`` for one that takes no writes. ``watch``: a look at the run to share.
        """
        ledger = cls(connect(settings.redis, patience_seconds, refusal_seconds), settings, watch or RunWatch(settings))
        ledger.watch.begin(ledger.redis)
        ledger.make_groups()
        return ledger

    def briefly(self, seconds: float) -> Ledger:
        """The same ledger for calls that wait that long for a Redis that restarts: each ends within
        ``seconds`` and one ``redis.timeout_seconds``.
        """
        return Ledger(connect(self.settings.redis, seconds), self.settings, self.watch)

    # Tasks -----------------------------------------------------------------------------------

    def submit(self, tasks: Sequence[Task], notes: Sequence[Note] = ()) -> list[bool]:
        """Queue all tasks or none, and change ``notes`` with them, in one atomic step.

        Returns for each task whether it was accepted; False when its id is known already.

        Raises:
            QueueFull: ``ledger.task_queue_limit`` leaves no room for all of the training tasks.
            NoteConflict: a note no longer has the value it was read with; nothing was queued.
            RunLostError: Redis does not hold this run any more; nothing was queued.
            TaskTaken: the id of a task of an evaluation is known; nothing was queued.
            TaskDiffers: ids are known with another prompt or answer; nothing was queued. Rows of
                data sets are not compared: their ids name the file's content already.
        """
        limit, mark = self.settings.ledger.task_queue_limit, self.watch.mark
        # What Redis must hold for the run to be the one this part began with.
        notes = [*([Note(Key.RUN, MARK, mark, mark)] if mark else []), *notes]
        reply = self._scripts(
            "submit_tasks",
            [self.keys.task(task.id) for task in tasks],
            [self.keys.prefix, limit, time.time(), *submission.arguments(tasks, notes, self.settings.has_critic)],
        )
        refused = submission.refusal(reply, tasks, notes, limit)
        if isinstance(refused, NoteConflict):
            self.watch.refuse_if_lost()
        if refused:
            raise refused
        return [accepted == 1 for accepted in reply]

    def lease_tasks(self, consumer: str, count: int, version: int) -> list[Lease]:
        """Admit and lease up to ``count`` tasks, evaluations first; never waits. A lease names the
        samples it is for, which may be some of its task's.

        ``version`` is the weight version the generator has loaded; one that is behind the newest
        announced version gets nothing until it has caught up.
        """
        reply = self._scripts(
            "lease_tasks",
            [self.keys.named(Key.BACKLOG)],
            [
                self.keys.prefix,
                GROUP,
                consumer,
                count,
                self.settings.admission_capacity,
                self.settings.rollouts_per_step,
                int(self.settings.trains_whole_groups),
                version,
                *TASK_STAGES,
            ],
        )
        return [
            Lease(Stage(stage.decode()), entry.decode(), task_id.decode(), sample_numbers(samples))
            for stage, entry, task_id, samples in reply
        ]

    def missing_samples(self, lease: Lease) -> list[int]:
        """Samples of a leased task that nobody has generated yet."""
        made = self.redis.hmget(self.keys.task(lease.id), [f"{Field.MADE_SAMPLE}{sample}" for sample in lease.samples])
        return [sample for sample, known in zip(lease.samples, made, strict=True) if known is None]

    def record_generated(self, task_id: str, sample: int, generated: Generated) -> bool:
        """Store one finished response and pass it to the verifier. False when known already."""
        rollout_id = f"{task_id}.{sample}"
        stored = self._scripts(
            "record_generated",
            [self.keys.rollout(rollout_id), self.keys.task(task_id)],
            [self.keys.prefix, rollout_id, task_id, sample, encode(generated), generated.token_ids.size, time.time()],
        )
        return stored == 1

    def finish_task_lease(self, lease: Lease, give_back: bool = False) -> bool:
        """End a task lease when all its samples exist.

        With ``give_back`` it ends in any case and the missing samples are queued again, for a
        worker that shuts down. Returns False when samples are missing and the lease stays.
        """
        ended = self._scripts(
            "finish_lease",
            [self.keys.stream(lease.stage)],
            [self.keys.prefix, GROUP, lease.entry, lease.id, lease.sample_list, int(give_back)],
        )
        return ended == 1

    # Verifier and value service ----------------------------------------------------------------------------------

    def record_verdicts(self, judged: Sequence[tuple[Lease, Rollout, Verdict]]) -> int:
        """Store verdicts and pass the rollouts on; returns how many had not moved already.

        The results of an evaluation are told before its rollouts end.
        """
        moves: dict[str, list[Move]] = {"advance": [], "drop": []}
        for lease, rollout, verdict in judged:
            if rollout.task.purpose == "eval":
                self.journal.note_verdict(rollout, verdict)
            script, move = self._judged(lease, rollout, verdict)
            moves[script].append(move)
        return sum(sum(self._scripts.many(script, some)) for script, some in moves.items())

    def record_values(self, scored: Sequence[tuple[Lease, Values]]) -> int:
        """Store a critic's values and pass the rollouts to the trainer; returns how many moved."""
        to = next_place(Stage.VERIFIED, Event.SCORED, Journey.WITH_CRITIC)
        moves = (self._advanced(lease, to, Field.VALUES, encode(values)) for lease, values in scored)
        return sum(self._scripts.many("advance", moves))

    def drop(self, held: Sequence[Lease], reason: str, requeue: bool) -> int:
        """Take leased rollouts out, with a reason, and free their slots; have their samples made
        again if asked. Returns how many were dropped.
        """
        moves = (self._leaving(lease, reason, int(requeue), time.time(), "", b"") for lease in held)
        return sum(self._scripts.many("drop", moves))

    # Trainer ---------------------------------------------------------------------------------

    def mark_trained(self, notes: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
        """Free the slots of rollouts (id, note) after their optimiser step; their leases stay.
        Returns how many were marked.
        """
        moves = (
            ([self.keys.rollout(rollout_id)], [self.keys.prefix, rollout_id, encode(dict(note)), time.time()])
            for rollout_id, note in notes
        )
        return sum(self._scripts.many("mark_trained", moves))

    def acknowledge(self, held: Iterable[tuple[str, str]]) -> int:
        """A durable checkpoint holds the effect of rollouts (entry, id): end their leases for good.
        Returns how many ended.
        """
        stream = self.keys.stream(Stage.SCORED)
        moves = (
            ([self.keys.rollout(rollout_id), stream], [self.keys.prefix, GROUP, entry, rollout_id])
            for entry, rollout_id in held
        )
        return sum(self._scripts.many("acknowledge", moves))

    def redeliver(self, consumer: str) -> list[Lease]:
        """After a trainer's restart: exactly the rollouts trained since its checkpoint, and those
        it had leased and not trained, in their first order.
        """
        held = self.pending(Stage.SCORED, consumer)
        states = self._scripts.many(
            "redeliver", (([self.keys.rollout(lease.id)], [self.keys.prefix, lease.id]) for lease in held)
        )
        return [lease for lease, state in zip(held, states, strict=True) if state == Stage.SCORED.encode()]

    def trim(self) -> int:
        """Delete finished payloads beyond the retention limit, and records of tasks that ended long
        ago; returns how many went.
        """
        limits = self.settings.ledger
        return self._scripts(
            "trim",
            [self.keys.named(Key.FINISHED), self.keys.named(Key.ENDED_TASKS)],
            [self.keys.prefix, limits.retained_rollouts, limits.retained_tasks, TRIM_PER_CALL],
        )

    def _judged(self, lease: Lease, rollout: Rollout, verdict: Verdict) -> tuple[str, Move]:
        """The script by which a judged rollout leaves the verifier, and its arguments."""
        event = Event.NOT_REWARDED if verdict.reward is None else Event.REWARDED
        to = next_place(Stage.GENERATED, event, journey_of(rollout.task.purpose, self.settings.has_critic))
        body = encode(verdict)
        if to is State.DROPPED:
            reason = f"verdict_{verdict.verdict}"
            return "drop", self._leaving(lease, reason, 0, time.time(), Field.VERDICT, body)
        return "advance", self._advanced(lease, to, Field.VERDICT, body)

    def _advanced(self, lease: Lease, to: Place, field: str, body: bytes) -> Move:
        return self._leaving(lease, to, int(isinstance(to, Stage)), field, body, time.time())

    def _leaving(self, lease: Lease, *arguments: Any) -> Move:
        """A call of a script by which a leased rollout leaves its stage (``advance``, ``drop``)."""
        stage = str(lease.stage)
        return (
            [self.keys.rollout(lease.id), self.keys.stream(lease.stage)],
            [self.keys.prefix, GROUP, lease.entry, lease.id, stage, *arguments],
        )
