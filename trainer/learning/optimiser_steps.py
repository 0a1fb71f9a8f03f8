"""Optimiser steps of one model on the rows of one batch, and what they leave behind for the log.

Invariants:
- one optimiser step per mini-batch; its gradient is the sum over micro-batches and ranks of losses
  with the mini-batch's global denominators, so neither packing nor ranks change it;
- metrics are sums until the end and are divided by global denominators likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.metrics import MetricSums, add_metrics, reduce_metrics
from trainer.algorithm.objective import LearningSignal, Objective, count_denominators
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.micro_batches import MicroBatch, micro_batches
from trainer.learning.optimiser import Optimiser
from trainer.ranks.parallel import sum_over_ranks

MicroBatchObjective = Callable[[MicroBatch, LearningSignal, Denominators], Objective]
"""Forward pass and loss of one micro-batch, given its part of the signal."""


class OptimiserSteps:
    """Trains a model on any rows of one batch, any number of times; targets are constants."""

    def __init__(
        self,
        name: str,
        optimiser: Optimiser,
        objective: MicroBatchObjective,
        learner: Learner,
        batch: RolloutBatch,
        signal: LearningSignal,
    ) -> None:
        """``name``: ``policy`` or ``value``, before the slash of ``gradient_norm``."""
        self._name, self._optimiser, self._objective = name, optimiser, objective
        self._learner, self._batch, self._signal = learner, batch, signal
        self._metrics: list[MetricSums] = []  # of each micro-batch of this rank
        self._denominators: list[Denominators] = []  # of each optimiser step
        self._gradient_norms: list[float] = []

    @property
    def done(self) -> int:
        """Optimiser steps done."""
        return len(self._denominators)

    def train_on(self, rows: Sequence[int]) -> None:
        """One optimiser step on ``rows``.

        Raises:
            FloatingPointError: the gradient is not finite.
        """
        denominators = count_denominators(self._signal.select_rows(rows))
        self.accumulate_gradient(rows, denominators)
        self._gradient_norms.append(self._optimiser.step())
        self._denominators.append(denominators)

    def accumulate_gradient(self, rows: Sequence[int], denominators: Denominators) -> None:
        """Add this rank's gradient of the loss of ``rows``."""
        for micro in micro_batches(self._batch, rows, self._learner.trainer, self._learner.ranks):
            objective = self._objective(micro, self._signal.select_rows(micro.rows), denominators)
            objective.loss.backward()
            self._metrics.append(objective.metrics)

    def reduced_metrics(self) -> dict[str, float]:
        """Means over all steps and ranks; losses are means over optimiser steps, the gradient norm
        is the largest. Empty when no step was done. Every rank must call this."""
        if not self.done:
            return {}
        sums = add_metrics(self._metrics)  # the same names on every rank
        stacked = torch.stack([sums[name].to(self._batch.device) for name in sorted(sums)])
        totals = dict(zip(sorted(sums), sum_over_ranks(stacked, self._learner.ranks).cpu(), strict=True))
        means = {name: total / self.done if name.endswith("loss") else total for name, total in totals.items()}
        metrics = reduce_metrics(means, add_denominators(self._denominators))
        return metrics | {f"{self._name}/gradient_norm": max(self._gradient_norms)}
