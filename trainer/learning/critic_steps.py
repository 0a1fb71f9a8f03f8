"""Optimiser steps of the critic on rows whose targets are constants.

Invariant: one optimiser step per mini-batch; its gradient is the sum over micro-batches and ranks
of losses with the mini-batch's global denominators, so neither packing nor ranks change it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer.algorithm.denominators import Denominators
from trainer.algorithm.objective import AdvantageBatch, count_denominators, value_objective
from trainer.learning.batch import Batch
from trainer.learning.forward import Packing, micro_batches_of_rank
from trainer.learning.models import compute_precision
from trainer.learning.optimiser import Optimiser
from trainer.learning.step_record import StepRecord
from trainer.ranks.parallel import Ranks
from vapo.model.critic import Critic


class CriticSteps:
    """Trains the critic on any rows of one batch, any number of times."""

    def __init__(
        self,
        critic: Critic,
        optimiser: Optimiser,
        batch: Batch,
        advantages: AdvantageBatch,
        packing: Packing,
        ranks: Ranks,
    ) -> None:
        self._critic, self._optimiser = critic, optimiser
        self._batch, self._advantages = batch, advantages
        self._packing, self._ranks = packing, ranks
        self._record = StepRecord("value")

    def train(self, rows: Sequence[int]) -> None:
        """One optimiser step on ``rows``.

        Raises:
            FloatingPointError: the gradient is not finite.
        """
        index = torch.tensor(rows, dtype=torch.int64, device=self._batch.device)
        denominators = count_denominators(self._advantages.select_rows(index))
        self.accumulate_gradient(rows, denominators)
        self._record.end_step(denominators, self._optimiser.step())

    def accumulate_gradient(self, rows: Sequence[int], denominators: Denominators) -> None:
        """Add this rank's gradient of the value loss of ``rows``."""
        for micro in micro_batches_of_rank(self._batch, rows, self._packing, self._ranks):
            with compute_precision(self._batch.device, self._ranks.sharded):
                values = self._critic(micro.input_ids, micro.position_ids, micro.action_index)
            objective = value_objective(values, self._advantages.select_rows(micro.rows), denominators)
            objective.loss.backward()
            self._record.add_micro_batch(objective.metrics)

    def reduced_metrics(self) -> dict[str, float]:
        """Means over all steps and ranks; every rank must call this."""
        return self._record.reduce(self._batch.device, self._ranks)
