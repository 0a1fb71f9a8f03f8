"""Rollouts of the last few steps, for the critic to learn from again beside the new ones.

A critic fits returns, not a policy, so it bears staler rows than the actor (LE CRITIQUE, the
prime-values repository, reuses a row at most twice).

Invariants:
- targets are the ones frozen when the row was new; nothing is scored again, so an advantage never
  comes from a critic that had seen the row's return;
- bounded: a row leaves after ``steps`` further rollout steps;
- the same on every rank, since every rank sees the same batches;
- not part of a checkpoint: after a resume the buffer fills again within ``steps`` steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields

import torch

from trainer.algorithm.objective import LearningSignal
from trainer.learning.batch import RolloutBatch


@dataclass
class CriticReplay:
    """The last ``steps`` rollout batches; 0 keeps none."""

    steps: int = 0
    _kept: deque[tuple[RolloutBatch, LearningSignal]] = field(default_factory=deque)

    def extend(self, batch: RolloutBatch, signal: LearningSignal) -> tuple[RolloutBatch, LearningSignal]:
        """``batch`` first, then the rows kept; ``batch`` is kept for the next steps."""
        parts = [(batch, signal), *self._kept]
        self._kept.appendleft((batch, signal))
        while len(self._kept) > self.steps:
            self._kept.pop()
        if len(parts) == 1:
            return batch, signal
        rows = [row for part, _ in parts for row in part.rows]
        return RolloutBatch(rows, batch.device), concatenate([part for _, part in parts])


def concatenate(parts: list[LearningSignal]) -> LearningSignal:
    """The rows of all parts, in order."""
    return LearningSignal(
        **{entry.name: torch.cat([getattr(part, entry.name) for part in parts]) for entry in fields(LearningSignal)}
    )
