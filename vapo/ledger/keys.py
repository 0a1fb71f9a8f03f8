"""Names of all that a run keeps in Redis: keys, streams, fields, states, counters.

Invariants:
- every key starts with ``vapo:{run}:``. The braces are a Redis Cluster hash tag, so all keys of one
  run live in one slot and one script may touch any of them;
- each name exists here and nowhere else; the Lua scripts write ``Key.BACKLOG`` as Python does, and
  get its text when they are loaded (:mod:`vapo.ledger.scripts`). Fields, keys and totals are plain
  texts, since each is looked up many times for every rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GROUP = "workers"
"""Name of the one consumer group each stream has."""


class Stage(StrEnum):
    """Streams of ids a rollout passes through; the name is the state it is in while it waits."""

    TASKS = "tasks"
    EVAL_TASKS = "eval_tasks"
    GENERATED = "generated"
    VERIFIED = "verified"
    SCORED = "scored"


TASK_STAGES = (Stage.EVAL_TASKS, Stage.TASKS)
"""Streams of tasks, in the order generators serve them: evaluations are short and awaited."""


class State(StrEnum):
    """States of tasks and rollouts that wait at no stage."""

    QUEUED = "queued"
    """A task some of whose samples are in the backlog, or in the stream of evaluations."""
    ADMITTED = "admitted"
    """A task that generators may take."""
    TRAINED = "trained"
    """Used by an optimiser step; still leased, until a checkpoint holds the effect."""
    ACKNOWLEDGED = "acknowledged"
    DROPPED = "dropped"
    DONE = "done"
    """A rollout of an evaluation that is judged; a task all of whose samples exist."""
    DEAD = "dead"
    FAILED = "failed"
    """What the results of an evaluation call a response that became a dead letter."""


class Field:
    """Fields of the hashes, and of the entries of streams."""

    STATE = "state"
    BODY = "body"
    """Of a task: the encoded :class:`vapo.messages.Task`; gone once all its payloads were trimmed."""
    DIGEST = "digest"
    PURPOSE = "purpose"
    SAMPLES = "samples"
    """Of a task: how many; of an entry: which, ``0,1,2``."""
    MADE = "made"
    """How many samples exist."""
    MADE_SAMPLE = "made:"
    """With its number: when that sample came to exist."""
    DEAD_SAMPLE = "dead:"
    """With its number: when that sample became a dead letter before it existed."""
    TRIMMED = "trimmed"
    """How many samples' payloads are gone."""
    EVALUATION = "evaluation"
    TASK = "task"
    SAMPLE = "sample"
    GENERATED = "generated"
    VERDICT = "verdict"
    VALUES = "values"
    TRAINING = "training"
    DROPPED = "dropped"
    """Of a rollout: the reason."""
    AT_SUFFIX = "_at"
    """After a state or a field: when it came, in seconds since the epoch."""
    ID = "id"
    STAGE = "stage"
    REASON = "reason"
    REQUEUED = "requeued"
    AT = "at"
    PAUSED = "paused"
    STOP = "stop"


class Total:
    """Totals since the run began, in the hash ``counters``; beside these, each verdict and each
    critic's values are counted under the name of their field.
    """

    SUBMITTED = "submitted_"
    """With the purpose."""
    GENERATED = "generated"
    GENERATED_TOKENS = "generated_tokens"
    TRAINED = "trained"
    DROPPED = "dropped"
    DROPPED_BECAUSE = "dropped:"
    """With the reason."""
    DEAD = "dead"
    REVIVED = "revived"
    SAMPLES_OF_REMOVED_TASKS = "samples_of_removed_tasks"


class Key:
    """Keys of a run, without its prefix; those that end in a colon are followed by an id."""

    TASK = "task:"
    """Hash of one task."""
    ROLLOUT = "rollout:"
    """Hash of one rollout."""
    STREAM = "stream:"
    """Stream of ids, followed by a stage."""
    EVALUATION = "evaluation:"
    """Hash of rollout id to result of one evaluation."""
    FAILURE = "failure:"
    """Text: why the last attempt of an entry failed."""
    BACKLOG = "backlog"
    """List of ``task|samples`` that wait for admission."""
    ADMITTED = "admitted"
    """Set of ids of rollouts that hold a slot: admitted and not yet trained."""
    DEAD_LETTERS = "stream:dead"
    DROPPED = "dropped"
    """Stream of what was dropped, and why."""
    FINISHED = "finished"
    """List of rollouts that ended, oldest first; their payloads are trimmed."""
    ENDED_TASKS = "ended_tasks"
    """List of tasks all of whose payloads were trimmed; their records are removed."""
    NEWEST = "newest"
    """Sorted set of rollouts that there are, by the time they were generated."""
    COUNTERS = "counters"
    RUN = "run"
    """Hash of the facts all parts agree on."""
    CONTROL = "control"
    """Hash of the switches people turn."""
    FLEET = "fleet"
    METRICS = "metrics"
    EVENTS = "events"
    COURSE = "course"
    PROBE = "probe"
    """Written to see whether Redis takes writes."""
    WEIGHTS = "weights"
    WEIGHT_NEWEST = "weight_newest"
    """The newest announced version."""
    WEIGHT_STEPS = "weight_steps"
    WEIGHT_DIGESTS = "weight_digests"
    DATASET_POSITIONS = "dataset_positions"
    EVALUATIONS = "evaluations"
    EVALUATION_PROBLEMS = "evaluation_problems"
    EVALUATION_SUMMARIES = "evaluation_summaries"


@dataclass(frozen=True)
class Keys:
    """Key names of one run."""

    run: str

    @property
    def prefix(self) -> str:
        """``vapo:{run}:``"""
        return f"vapo:{{{self.run}}}:"

    def stream(self, stage: Stage) -> str:
        """Stream of ids waiting for the part that serves ``stage``."""
        return f"{self.prefix}{Key.STREAM}{stage}"

    def task(self, task_id: str) -> str:
        """Hash of one task."""
        return f"{self.prefix}{Key.TASK}{task_id}"

    def rollout(self, rollout_id: str) -> str:
        """Hash of one rollout."""
        return f"{self.prefix}{Key.ROLLOUT}{rollout_id}"

    def evaluation(self, evaluation_id: str) -> str:
        """Hash of rollout id to result of one evaluation."""
        return f"{self.prefix}{Key.EVALUATION}{evaluation_id}"

    def named(self, name: str) -> str:
        """Any other key of the run: a :class:`Key`, or a hash of notes."""
        return f"{self.prefix}{name}"
