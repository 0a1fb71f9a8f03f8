"""One rollout batch: values, frozen advantages and targets, then mini-batches of critic and actor.

The order is the point (VC-PPO Algorithm 1). Values are read before the critic learns from these
rows: afterwards it has seen their returns and is no longer their baseline. Advantages and targets
are then constants for all mini-batches and epochs.

Invariants:
- one optimiser step per mini-batch and model; its gradient is the sum over micro-batches and ranks
  of losses with the mini-batch's global denominators;
- proximal log-probs are those of the weights at the start of the rollout step. The first mini-batch
  meets exactly these weights, so its own forward pass supplies them; only the others cost one more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trainer.algorithm.corrections import needs_proximal_log_probs
from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.metrics import MetricSums, add_metrics, reduce_metrics
from trainer.algorithm.options import Options
from trainer.algorithm.vapo import (
    AdvantageBatch,
    RowBatch,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.batch import Batch
from trainer.forward import (
    Packing,
    StateValues,
    micro_batches_of_rank,
    scores_dtype,
    state_values,
    token_log_probs,
)
from trainer.models import Policy, compute_precision
from trainer.optimiser import Optimiser
from trainer.parallel import Ranks, sum_over_ranks
from trainer.phases import Phases
from vapo.critic import Critic


@dataclass(frozen=True)
class UpdateOptions:
    """How a rollout batch is cut up."""

    mini_batch_rollouts: int
    """Responses per optimiser step."""
    packing: Packing
    epochs: int = 1
    critic_version_lag: int = 1
    """Values scored by a critic at most this many versions old are used as they are."""


@dataclass
class Learner:
    """Actor and critic with their optimisers."""

    policy: Policy
    policy_optimiser: Optimiser
    critic: Critic
    critic_optimiser: Optimiser
    version: int = 0
    """Version of the weights last published, which the models held at the start of this step."""


@dataclass
class Progress:
    """What the mini-batches of one rollout batch leave behind."""

    log_probs: Tensor
    """float[N] log-probs of each token when its mini-batch was last trained on."""
    proximal: Tensor
    """float[N] log-probs at the start of the rollout step, where known."""
    metrics: list[MetricSums] = field(default_factory=list)
    denominators: list[Denominators] = field(default_factory=list)
    gradient_norms: dict[str, list[float]] = field(
        default_factory=lambda: {"policy": [], "value": []})


@dataclass(frozen=True)
class UpdateResult:
    """Outcome of one rollout batch."""

    advantages: AdvantageBatch
    values: Tensor
    """float[N] the values the advantages were made of."""
    log_probs: Tensor
    """float[N] of each token when it was trained on."""
    rescored_fraction: float
    """Share of rows whose values the trainer computed itself."""
    metrics: dict[str, float]


def update(
    learner: Learner, batch: Batch, algorithm: Options, options: UpdateOptions, ranks: Ranks,
    random: np.random.Generator, phases: Phases,
) -> UpdateResult:
    """Train actor and critic on ``batch``.

    Args:
        learner: changed in place.
        batch: the same on every rank.
        algorithm: the objective's switches.
        options: how to cut the batch up.
        ranks: this process among the trainer's.
        random: decides which rows meet in a mini-batch; must be in the same state on every rank.
        phases: receives the time spent on each phase.
    """
    with phases.measure("values"):
        values, rescored = batch_values(learner, batch, algorithm, options, ranks)
        advantages = compute_advantages_and_targets(row_batch(batch, values), algorithm)
    mini_batches = draw_mini_batches(len(batch), options, random)
    with phases.measure("proximal"):
        progress = _begin(learner.policy, batch, mini_batches, algorithm, options, ranks)
    for number, rows in enumerate(mini_batches):
        denominators = count_denominators(advantages.select_rows(_index(rows, batch)))
        progress.denominators.append(denominators)
        if algorithm.estimator == "gae":
            with phases.measure("critic"):
                _critic_step(learner, batch, rows, advantages, denominators, options, ranks, progress)
        with phases.measure("actor"):
            _actor_step(learner, batch, rows, advantages, denominators, algorithm, options, ranks,
                        progress, first=number == 0)
    return _result(batch, values, advantages, rescored, progress, ranks)


def batch_values(
    learner: Learner, batch: Batch, algorithm: Options, options: UpdateOptions, ranks: Ranks
) -> tuple[StateValues | None, float]:
    """Values of all rows, and the share of rows that had to be scored here.

    Rows that the value service scored with a critic at most ``critic_version_lag`` versions old keep
    their values. None when the estimator needs no values.
    """
    if algorithm.estimator != "gae":
        return None, 0.0
    oldest = learner.version - options.critic_version_lag
    stale = [number for number, row in enumerate(batch.rows)
             if row.critic_version is None or row.critic_version < oldest]
    values = service_values(batch, learner.critic.value_head.weight.dtype, set(stale))
    if stale:
        scored = state_values(learner.critic, batch, stale, options.packing, ranks)
        values = StateValues(values.before_tokens + scored.before_tokens, values.final + scored.final)
    return values, len(stale) / len(batch)


def service_values(batch: Batch, dtype: torch.dtype, without: set[int]) -> StateValues:
    """The values rows brought along; 0 for the rows in ``without``."""
    parts = [np.zeros(row.response_token_ids.size + 1, np.float32)
             if number in without or row.values is None else row.values
             for number, row in enumerate(batch.rows)]
    before = np.concatenate([part[:-1] for part in parts])
    final = np.array([part[-1] for part in parts])
    return StateValues(*(torch.from_numpy(array).to(batch.device, dtype)
                         for array in (before, final)))


def row_batch(batch: Batch, values: StateValues | None) -> RowBatch:
    """``batch`` in the algorithm's form."""
    return RowBatch(
        lengths=batch.lengths,
        rewards=batch.rewards,
        correct=batch.correct,
        truncated=batch.truncated,
        values=values.before_tokens if values else None,
        bootstrap_values=values.final if values else None,
        group_ids=batch.groups,
    )


def draw_mini_batches(
    rows: int, options: UpdateOptions, random: np.random.Generator
) -> list[list[int]]:
    """Rows of every optimiser step: each epoch a new shuffle, cut into parts of about equal size."""
    parts = math.ceil(rows / options.mini_batch_rollouts)
    return [part.tolist() for _ in range(options.epochs)
            for part in np.array_split(random.permutation(rows), parts)]


def _begin(
    policy: Policy, batch: Batch, mini_batches: Sequence[Sequence[int]], algorithm: Options,
    options: UpdateOptions, ranks: Ranks,
) -> Progress:
    nothing = torch.zeros(batch.response_tokens, dtype=scores_dtype(policy), device=batch.device)
    later = sorted(set(range(len(batch))) - set(mini_batches[0]))
    if not later or not needs_proximal_log_probs(algorithm.correction):
        return Progress(log_probs=nothing, proximal=nothing.clone())
    proximal = token_log_probs(policy, batch, later, options.packing, ranks)
    return Progress(log_probs=nothing, proximal=proximal)


def _critic_step(
    learner: Learner, batch: Batch, rows: Sequence[int], advantages: AdvantageBatch,
    denominators: Denominators, options: UpdateOptions, ranks: Ranks, progress: Progress,
) -> None:
    for micro in micro_batches_of_rank(batch, rows, options.packing, ranks):
        with compute_precision(batch.device, ranks.sharded):
            values = learner.critic(micro.input_ids, micro.position_ids, micro.action_index)
        objective = value_objective(values, advantages.select_rows(micro.rows), denominators)
        objective.loss.backward()
        progress.metrics.append(objective.metrics)
    progress.gradient_norms["value"].append(learner.critic_optimiser.step())


def _actor_step(
    learner: Learner, batch: Batch, rows: Sequence[int], advantages: AdvantageBatch,
    denominators: Denominators, algorithm: Options, options: UpdateOptions, ranks: Ranks,
    progress: Progress, first: bool,
) -> None:
    log_probs = torch.zeros_like(progress.log_probs)
    for micro in micro_batches_of_rank(batch, rows, options.packing, ranks):
        with compute_precision(batch.device, ranks.sharded):
            scores = learner.policy(micro)
        objective = policy_objective(
            scores.log_probs, batch.behaviour_log_probs[micro.tokens],
            None if first else progress.proximal[micro.tokens],
            advantages.select_rows(micro.rows), denominators, algorithm, scores.entropy,
        )
        objective.loss.backward()
        log_probs[micro.tokens] = scores.log_probs.detach()
        progress.metrics.append(objective.metrics)
    progress.gradient_norms["policy"].append(learner.policy_optimiser.step())
    _record(batch, rows, sum_over_ranks(log_probs, ranks), progress, first)


def _record(
    batch: Batch, rows: Sequence[int], log_probs: Tensor, progress: Progress, first: bool
) -> None:
    """Keep this mini-batch's log-probs; the first one's are also its proximal log-probs."""
    in_rows = torch.zeros(len(batch), dtype=torch.bool, device=batch.device)
    in_rows[_index(rows, batch)] = True
    tokens = in_rows.repeat_interleave(batch.lengths)
    progress.log_probs[tokens] = log_probs[tokens]
    if first:
        progress.proximal[tokens] = log_probs[tokens]


def _result(
    batch: Batch, values: StateValues | None, advantages: AdvantageBatch, rescored: float,
    progress: Progress, ranks: Ranks,
) -> UpdateResult:
    sums = sum_metrics(add_metrics(progress.metrics), batch.device, ranks)
    metrics = reduce_metrics(_mean_losses(sums, len(progress.denominators)),
                             add_denominators(progress.denominators))
    for name, norms in progress.gradient_norms.items():
        if norms:
            metrics[f"{name}/gradient_norm"] = max(norms)
    nothing = torch.zeros(batch.response_tokens, device=batch.device)
    return UpdateResult(advantages, values.before_tokens if values else nothing,
                        progress.log_probs, rescored, metrics)


def sum_metrics(sums: MetricSums, device: torch.device, ranks: Ranks) -> MetricSums:
    """Metric sums of all ranks; every rank has the same names."""
    stacked = sum_over_ranks(torch.stack([sums[name].to(device) for name in sorted(sums)]), ranks)
    return dict(zip(sorted(sums), stacked.cpu(), strict=True))


def _mean_losses(sums: MetricSums, optimiser_steps: int) -> MetricSums:
    """Losses are normalised per optimiser step: their sum over the rollout batch becomes a mean."""
    return {name: total / optimiser_steps if name.endswith("loss") else total
            for name, total in sums.items()}


def _index(rows: Sequence[int], batch: Batch) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64, device=batch.device)
