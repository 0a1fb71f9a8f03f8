"""One rollout batch: values, frozen advantages and targets, then mini-batches of critic and actor.

The order is the point (VC-PPO Algorithm 1). Values are read before the critic learns from these
rows: afterwards it has seen their returns and is no longer their baseline. Advantages and targets
are then constants for all mini-batches and epochs.

Critic and actor are separate models with separate optimisers, so all steps of the one may come
before all steps of the other; the critic may take more of them, smaller ones, or meet rows again.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainer.algorithm.objective import LearningSignal, compute_advantages_and_targets
from trainer.learning.batch import RolloutBatch
from trainer.learning.critic_steps import train_critic
from trainer.learning.learner import Learner
from trainer.learning.policy_steps import PolicySteps
from trainer.learning.timer import StepTimer
from trainer.learning.values import batch_values, scored_rows


@dataclass(frozen=True)
class UpdateResult:
    """What came of one rollout batch."""

    signal: LearningSignal
    values: Tensor
    """float[N] the values the advantages were made of; zeros when the estimator has no critic."""
    log_probs: Tensor
    """float[N] of each token when it was last trained on."""
    proximal_log_probs: Tensor
    """float[N] at the start of the rollout step; 0 where not known."""
    proximal_known: Tensor
    """bool[N] where they are known: everywhere, or in the first mini-batch alone when the
    correction has no use for them."""
    version: int
    """Version of the weights at the start of the rollout step."""
    rescored_fraction: float
    """Share of rows whose values the trainer computed itself."""
    metrics: dict[str, float]


def update(learner: Learner, batch: RolloutBatch, timer: StepTimer) -> UpdateResult:
    """Train actor and critic on ``batch``.

    Args:
        learner: changed in place.
        batch: the same on every rank.
        timer: receives the time spent on each part of the step.

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    algorithm, trainer = learner.algorithm, learner.trainer
    with timer.measure("values"):
        values, rescored = batch_values(learner, batch)
        scored = scored_rows(batch, values)
        signal = compute_advantages_and_targets(scored, algorithm, learner.max_new_tokens)
    mini_batches = batch.mini_batches(trainer.mini_batch_rollouts, trainer.epochs, learner.random)
    policy = PolicySteps(learner, batch, signal)
    with timer.measure("proximal"):
        policy.score_proximal(mini_batches)
    value_metrics: dict[str, float] = {}
    with timer.measure("critic"):
        if algorithm.estimator == "gae":
            epochs = trainer.critic_epochs or trainer.epochs
            value_metrics = train_critic(learner, *learner.replay.extend(batch, signal), epochs)
    with timer.measure("actor"):
        for rows in mini_batches:
            policy.train(rows)
    return UpdateResult(
        signal=signal,
        values=values.before_tokens,
        log_probs=policy.log_probs,
        proximal_log_probs=policy.proximal,
        proximal_known=policy.proximal_known,
        version=learner.version,
        rescored_fraction=rescored,
        metrics=policy.steps.reduced_metrics() | value_metrics,
    )
