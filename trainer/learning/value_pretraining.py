"""Value pretraining (VAPO section 4.1): fit the critic to returns of the fixed start policy.

Invariants:
- the actor is not touched, so all rollouts come from the same policy;
- targets are Monte-Carlo returns (lambda = 1), whatever the critic says;
- explained variance is measured on each batch before the critic learns from it.

The pretrained critic is a folder of its own, which later runs name in
``value_pretraining.checkpoint`` to skip this phase.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trainer.algorithm.diagnostics import explained_variance, initial_value_mean
from trainer.algorithm.objective import AdvantageBatch, compute_advantages_and_targets
from trainer.algorithm.options import Options
from trainer.learning.batch import Batch
from trainer.learning.critic_steps import CriticSteps
from trainer.learning.forward import StateValues, state_values
from trainer.learning.gathered_states import critic_state
from trainer.learning.phase_times import Phases
from trainer.learning.update import Learner, UpdateOptions, row_batch
from trainer.ranks.parallel import Ranks
from vapo.durable import durable_folder
from vapo.model.critic import WEIGHTS_NAME


@dataclass(frozen=True)
class PretrainingResult:
    """Outcome of one rollout batch of value pretraining."""

    explained_variance: float | None
    """Of the values before this batch was learnt from; None when all returns are equal."""
    metrics: dict[str, float]


def pretrain(
    learner: Learner,
    batch: Batch,
    algorithm: Options,
    options: UpdateOptions,
    ranks: Ranks,
    random: np.random.Generator,
    phases: Phases,
) -> PretrainingResult:
    """Critic steps on one rollout batch.

    Args:
        learner: its critic is changed in place.
        batch: rollouts of the start policy; the same on every rank.
        algorithm: decides what a truncated row's outcome is; its lambdas are not used.
        options: how to cut the batch up: the critic's epochs and mini-batches.
        ranks: this process among the trainer's.
        random: the same state on every rank.
        phases: receives the time spent.
    """
    critic, optimiser = learner.required_critic()
    with phases.measure("values"):
        values = state_values(critic, batch, range(len(batch)), options.packing, ranks)
    targets = _monte_carlo_targets(batch, values, algorithm)
    step = CriticSteps(critic, optimiser, batch, targets, options.packing, ranks)
    with phases.measure("critic"):
        for rows in options.critic_mini_batches(len(batch), random):
            step.train(rows)
    known = targets.value_mask
    return PretrainingResult(
        explained_variance(values.before_tokens[known], targets.returns[known]),
        step.reduced_metrics() | {"value/initial": initial_value_mean(values.before_tokens, batch.lengths)},
    )


def _monte_carlo_targets(batch: Batch, values: StateValues, algorithm: Options) -> AdvantageBatch:
    monte_carlo = replace(
        algorithm,
        estimator="gae",
        decoupled_gae=True,
        lambda_critic=1.0,
        drop_uniform_groups=False,
        whiten_advantages=False,
    )
    return compute_advantages_and_targets(row_batch(batch, values), monte_carlo)


def save_pretrained_critic(folder: Path, learner: Learner, ranks: Ranks) -> None:
    """Write the critic as a folder that ``vapo.model.critic.load_critic`` reads; all ranks must call."""
    critic, _ = learner.required_critic()
    gathered = critic_state(critic, keep=ranks.is_first)
    if ranks.is_first:
        state = {name: tensor.to(torch.float32) for name, tensor in gathered.items()}
        with durable_folder(folder) as partial:
            critic.model.config.save_pretrained(partial)
            save_file(state, partial / WEIGHTS_NAME)
