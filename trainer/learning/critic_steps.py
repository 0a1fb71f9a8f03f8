"""Optimiser steps of the critic on rows whose targets are constants."""

from __future__ import annotations

from trainer.algorithm.denominators import Denominators
from trainer.algorithm.objective import LearningSignal, Objective, value_objective
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.micro_batches import MicroBatch
from trainer.learning.optimiser_steps import OptimiserSteps


def critic_steps(learner: Learner, batch: RolloutBatch, signal: LearningSignal) -> OptimiserSteps:
    """The critic's optimiser steps, in training and in value pretraining alike."""
    critic, optimiser = learner.required_critic()

    def objective(micro: MicroBatch, signal: LearningSignal, denominators: Denominators) -> Objective:
        with learner.ranks.precision():
            values = critic(micro.input_ids, micro.position_ids, micro.action_index)
        return value_objective(values, signal, denominators)

    return OptimiserSteps("value", optimiser, objective, learner, batch, signal)


def train_critic(learner: Learner, batch: RolloutBatch, signal: LearningSignal, epochs: int) -> dict[str, float]:
    """``epochs`` passes of the critic over ``batch``, in mini-batches of its own.

    Returns:
        Metrics over all rows trained on.

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    steps = critic_steps(learner, batch, signal)
    size = learner.trainer.critic_mini_batch_rollouts or learner.trainer.mini_batch_rollouts
    for rows in batch.mini_batches(size, epochs, learner.random):
        steps.train_on(rows)
    return steps.reduced_metrics()
