"""Optimiser steps of the critic on rows whose targets are constants."""

from __future__ import annotations

from trainer.algorithm.denominators import Denominators
from trainer.algorithm.objective import LearningSignal, Objective, value_objective
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.micro_batches import MicroBatch
from trainer.learning.optimiser_steps import OptimiserSteps


class CriticSteps(OptimiserSteps):
    """The critic's optimiser steps, in training and in value pretraining alike."""

    def __init__(self, learner: Learner, batch: RolloutBatch, signal: LearningSignal) -> None:
        self._critic, optimiser = learner.required_critic()
        super().__init__("value", optimiser, learner, batch, signal)

    def objective(self, micro: MicroBatch, signal: LearningSignal, denominators: Denominators) -> Objective:
        """The value loss of one micro-batch."""
        with self.learner.ranks.precision():
            values = self._critic(micro.input_ids, micro.position_ids, micro.action_index)
        return value_objective(values, signal, denominators)


def train_critic(learner: Learner, batch: RolloutBatch, signal: LearningSignal, epochs: int) -> dict[str, float]:
    """``epochs`` passes of the critic over ``batch``, in mini-batches of its own.

    Returns:
        Metrics over all rows trained on.

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    steps = CriticSteps(learner, batch, signal)
    size = learner.trainer.critic_mini_batch_rollouts or learner.trainer.mini_batch_rollouts
    for rows in batch.mini_batches(size, epochs, learner.random):
        steps.train(rows)
    return steps.reduced_metrics()
