"""Value pretraining (VAPO section 4.1): fit the critic to returns of the fixed start policy.

Invariants:
- the actor is not touched, so all rollouts come from the same policy;
- targets are Monte-Carlo returns (lambda = 1), whatever the critic says;
- explained variance is measured on each batch before the critic learns from it.

The pretrained critic is a folder of its own, which later runs name in
``value_pretraining.checkpoint`` to skip this phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from trainer.algorithm.diagnostics import explained_variance, initial_value_mean
from trainer.algorithm.objective import compute_advantages_and_targets
from trainer.learning.batch import RolloutBatch
from trainer.learning.critic_steps import train_critic
from trainer.learning.learner import Learner
from trainer.learning.state_dicts import critic_state_dict
from trainer.learning.timer import StepTimer
from trainer.learning.values import scored_rows, state_values
from vapo.durable import durable_folder
from vapo.model.critic import WEIGHTS_NAME
from vapo.settings import ValuePretrainingSettings

MONTE_CARLO = {
    "estimator": "gae",
    "decoupled_gae": True,
    "lambda_critic": 1.0,
    "drop_uniform_groups": False,
    "whiten_advantages": False,
}
"""Switches of the algorithm that give every row's return as the target of all its tokens."""


@dataclass(frozen=True)
class PretrainingResult:
    """What came of one rollout batch of value pretraining."""

    explained_variance: float | None
    """Of the values before this batch was learnt from; None when all returns are equal."""
    metrics: dict[str, float]


def pretrain(
    learner: Learner, batch: RolloutBatch, settings: ValuePretrainingSettings, timer: StepTimer
) -> PretrainingResult:
    """Critic steps on one rollout batch.

    Args:
        learner: its critic is changed in place. Its algorithm decides what a truncated row's
            outcome is; the lambdas are not used.
        batch: rollouts of the start policy; the same on every rank.
        settings: the passes over the batch.
        timer: receives the time spent.
    """
    with timer.measure("values"):
        values = state_values(learner, batch, range(len(batch)))
    targets = compute_advantages_and_targets(
        scored_rows(batch, values), learner.algorithm.model_copy(update=MONTE_CARLO), learner.max_new_tokens
    )
    with timer.measure("critic"):
        metrics = train_critic(learner, batch, targets, settings.epochs)
    known = targets.value_mask
    return PretrainingResult(
        explained_variance(values.before_tokens[known], targets.returns[known]),
        metrics | {"value/initial": initial_value_mean(values.before_tokens, batch.lengths)},
    )


def save_pretrained_critic(folder: Path, learner: Learner) -> None:
    """Write the critic as a folder that ``vapo.model.critic.load_critic`` reads; all ranks must call."""
    critic, _ = learner.required_critic()
    gathered = critic_state_dict(critic, keep=learner.ranks.is_first)
    if learner.ranks.is_first:
        state = {name: tensor.to(torch.float32) for name, tensor in gathered.items()}
        with durable_folder(folder) as partial:
            critic.model.config.save_pretrained(partial)
            save_file(state, partial / WEIGHTS_NAME)
