"""Names of all Redis keys of a run.

Invariant: every key starts with ``vapo:{run}:``. The braces are a Redis Cluster hash tag, so all
keys of one run live in one slot and one script may touch any of them.
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
        return f"{self.prefix}stream:{stage}"

    def task(self, task_id: str) -> str:
        """Hash of one task."""
        return f"{self.prefix}task:{task_id}"

    def rollout(self, rollout_id: str) -> str:
        """Hash of one rollout."""
        return f"{self.prefix}rollout:{rollout_id}"

    def evaluation(self, evaluation_id: str) -> str:
        """Hash of rollout id to result of one evaluation."""
        return f"{self.prefix}evaluation:{evaluation_id}"

    def named(self, name: str) -> str:
        """Any other key of the run: backlog, admitted, counters, fleet, metrics, ..."""
        return f"{self.prefix}{name}"
