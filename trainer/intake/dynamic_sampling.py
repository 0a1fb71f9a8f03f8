"""Dynamic sampling (DAPO section 3.2, Eq 11): a step trains on groups with signal.

A group whose responses are all correct or all wrong has group advantages of zero. DAPO leaves such
groups out and goes on sampling until the batch is full of others.

Invariants:
- "correct" is the verdict, so a length penalty does not make a group informative;
- a task with a single sample is never thrown away: nothing there could disagree;
- at most ``limit`` rollouts are thrown away for one step. Once they are spent, uniform groups fill
  the batch and leave the loss there (``drop_uniform_groups``), so a step ends even when the policy
  solves everything or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Discarded:
    """Rollouts thrown away for the step under way."""

    limit: int
    correct: int = 0
    """In groups that were all correct."""
    wrong: int = 0
    """In groups that were all wrong."""

    def discard(self, verdicts: Sequence[bool], samples: int) -> bool:
        """Throw this complete group away, if it is uniform and the limit allows it.

        Args:
            verdicts: of each response that is here, at least one.
            samples: responses the task asked for.

        Returns:
            Whether it was thrown away (and counted); False: it is to be trained on.
        """
        uniform = samples > 1 and len(set(verdicts)) == 1
        if not uniform or self.correct + self.wrong + len(verdicts) > self.limit:
            return False
        if verdicts[0]:
            self.correct += len(verdicts)
        else:
            self.wrong += len(verdicts)
        return True

    def metrics(self) -> dict[str, int]:
        """For the step's metrics: with them the policy's true accuracy can be told."""
        return {"discarded_correct": self.correct, "discarded_wrong": self.wrong}
