"""Proof that nothing vanished: where every sample of every task is.

Invariants:
- a sample that does not exist yet waits in the backlog, in a queue of tasks or among the dead
  letters; one that exists is in a queue, or has ended, or its payload was trimmed after it ended. A
  sample found nowhere is lost, and none ever should be. Samples of tasks whose record was removed
  too (``ledger.retained_tasks``) are only counted: they had all ended;
- it only reads, and may look at a ledger that is busy: between two reads a sample may move on and
  seem to be nowhere, so those are looked for again, all places in one atomic step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vapo.ledger.books import Books
from vapo.ledger.keys import TASK_STAGES, Field, Key, Keys, Stage, State, Total
from vapo.ledger.routes import ENDS

ROLLOUT_STAGES = tuple(stage for stage in Stage if stage not in TASK_STAGES)
QUEUE_OF_STATE: dict[str, Stage] = {**{stage: stage for stage in ROLLOUT_STAGES}, State.TRAINED: Stage.SCORED}
LOST = "lost"
PER_PIPELINE = 500


@dataclass(frozen=True)
class Audit:
    """Outcome: how many samples are where, and the ids of those that are nowhere."""

    places: dict[str, int]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class _Queues:
    """Ids in every queue at about one time."""

    waiting: frozenset[str]
    """Samples to be generated."""
    rollouts: Mapping[Stage, frozenset[str]]


@dataclass(frozen=True)
class _Sample:
    """What the records say of one sample."""

    id: str
    made: bool
    state: str | None


def is_empty(books: Books) -> bool:
    """Whether Redis holds nothing of the run, not even its queues."""
    found = books.redis.scan_iter(match=f"{_literal(books.keys.prefix)}*", count=1000)
    return next(iter(found), None) is None


def audit(books: Books) -> Audit:
    """Look for every sample of every task of the run."""
    queues = _parsed(_queue_reads(books.redis.pipeline(transaction=False), books.keys).execute())
    places: Counter[str] = Counter()
    suspects: list[str] = []
    tasks = _task_ids(books)
    while some := list(islice(tasks, PER_PIPELINE)):
        for sample in _samples(books, some):
            place = _place(sample, queues)
            if place == LOST:
                suspects.append(sample.id)
            else:
                places[place] += 1
    lost = []
    for first in range(0, len(suspects), PER_PIPELINE):
        for sample_id, place in _look_again(books, suspects[first : first + PER_PIPELINE]):
            places[place] += 1
            if place == LOST:
                lost.append(sample_id)
    removed = int(books.redis.hget(books.keys.named(Key.COUNTERS), Total.SAMPLES_OF_REMOVED_TASKS) or 0)
    if removed:
        places["ended, record removed"] = removed
    return Audit(dict(places), tuple(lost))


def _place(sample: _Sample, queues: _Queues) -> str:
    if not sample.made:
        return "to be generated" if sample.id in queues.waiting else LOST
    if sample.state is None:
        return "ended, payload trimmed"
    if sample.state in ENDS:
        return sample.state
    queued = sample.id in queues.rollouts[QUEUE_OF_STATE[sample.state]]
    return sample.state if queued else LOST


def _look_again(books: Books, sample_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where these samples are, by records and queues of one moment; those whose task's record has
    gone meanwhile are left to the count of removed ones.
    """
    with books.redis.pipeline(transaction=True) as pipe:
        _queue_reads(pipe, books.keys)
        reads = len(pipe.command_stack)
        for sample_id in sample_ids:
            task_id, _, sample = sample_id.rpartition(".")
            pipe.hmget(books.keys.task(task_id), Field.SAMPLES, f"{Field.MADE_SAMPLE}{sample}")
            pipe.hget(books.keys.rollout(sample_id), Field.STATE)
        replies = pipe.execute()
    queues, records = _parsed(replies[:reads]), replies[reads:]
    for sample_id, (known, made), state in zip(sample_ids, records[::2], records[1::2], strict=True):
        if known is not None:
            yield sample_id, _place(_sample(sample_id, made is not None, state), queues)


def _task_ids(books: Books) -> Iterator[str]:
    prefix = books.keys.task("")
    # A scan may name a key twice; a sample counted twice would be one too many.
    seen: set[bytes] = set()
    for key in books.redis.scan_iter(match=f"{_literal(prefix)}*", count=1000):
        if key not in seen:
            seen.add(key)
            yield key.decode().removeprefix(prefix)


def _literal(prefix: str) -> str:
    """``prefix`` as a glob pattern that matches itself only."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix)


def _samples(books: Books, task_ids: Sequence[str]) -> Iterator[_Sample]:
    with books.redis.pipeline(transaction=False) as pipe:
        for task_id in task_ids:
            pipe.hget(books.keys.task(task_id), Field.SAMPLES)
            pipe.hkeys(books.keys.task(task_id))
        replies = pipe.execute()
        found = []
        for task_id, samples, fields in zip(task_ids, replies[::2], replies[1::2], strict=True):
            for sample in range(int(samples or 0)):
                found.append((f"{task_id}.{sample}", f"{Field.MADE_SAMPLE}{sample}".encode() in fields))
                pipe.hget(books.keys.rollout(found[-1][0]), Field.STATE)
        states = pipe.execute()
    for (sample_id, is_made), state in zip(found, states, strict=True):
        yield _sample(sample_id, is_made, state)


def _sample(sample_id: str, made: bool, state: bytes | None) -> _Sample:
    return _Sample(sample_id, made, None if state is None else state.decode())


def _queue_reads(pipe: Any, keys: Keys) -> Any:
    """Puts the reads of all queues into a pipeline; :func:`_parsed` takes their replies."""
    pipe.lrange(keys.named(Key.BACKLOG), 0, -1)
    for stage in TASK_STAGES:
        pipe.xrange(keys.stream(stage))
    pipe.xrange(keys.named(Key.DEAD_LETTERS))
    for stage in ROLLOUT_STAGES:
        pipe.xrange(keys.stream(stage))
    return pipe


def _parsed(replies: Sequence[Any]) -> _Queues:
    backlog, *streams = replies
    waiting: set[str] = set()
    for item in backlog:
        task_id, _, samples = item.decode().rpartition("|")
        waiting.update(_ids(task_id, samples))
    for stream in streams[: -len(ROLLOUT_STAGES)]:
        for _, fields in stream:
            waiting.update(_ids(fields[b"id"].decode(), fields[b"samples"].decode()))
    rollouts = {
        stage: frozenset(fields[b"id"].decode() for _, fields in stream)
        for stage, stream in zip(ROLLOUT_STAGES, streams[-len(ROLLOUT_STAGES) :], strict=True)
    }
    return _Queues(frozenset(waiting), rollouts)


def _ids(task_id: str, samples: str) -> Iterator[str]:
    return (f"{task_id}.{sample}" for sample in samples.split(",") if sample)
