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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.algorithm.corrections import needs_proximal_log_probs
from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.metrics import MetricSums, add_metrics, reduce_metrics
from trainer.algorithm.options import Options
from trainer.algorithm.ragged import row_token_index
from trainer.algorithm.vapo import (
    AdvantageBatch,
    RowBatch,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.batch import Batch, MicroBatch
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
    oldest_usable_critic: int = 0
    """Values of older critics are never used: they had not been pretrained."""


@dataclass(frozen=True)
class UpdateResult:
    """Outcome of one rollout batch."""

    advantages: AdvantageBatch
    values: Tensor
    """float[N] the values the advantages were made of; zeros when the estimator has no critic."""
    log_probs: Tensor
    """float[N] of each token when it was last trained on."""
    proximal_log_probs: Tensor
    """float[N] at the start of the rollout step; 0 where not known."""
    proximal_known: Tensor
    """bool[N] where they are known: everywhere, or in the first mini-batch alone when the
    correction has no use for them."""
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

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    with phases.measure("values"):
        values, rescored = batch_values(learner, batch, algorithm, options, ranks)
        advantages = compute_advantages_and_targets(row_batch(batch, values), algorithm)
    step = RolloutStep(learner, batch, advantages, algorithm, options, ranks)
    mini_batches = draw_mini_batches(len(batch), options, random)
    with phases.measure("proximal"):
        step.score_proximal(mini_batches)
    for rows in mini_batches:
        step.train(rows, phases)
    metrics = step.reduced_metrics()
    before = values.before_tokens if values else torch.zeros_like(step.log_probs)
    return UpdateResult(advantages, before, step.log_probs, step.proximal, step.proximal_known,
                        rescored, metrics)


class RolloutStep:
    """The optimiser steps on one rollout batch, whose advantages and targets are constants."""

    def __init__(
        self, learner: Learner, batch: Batch, advantages: AdvantageBatch, algorithm: Options,
        options: UpdateOptions, ranks: Ranks,
    ) -> None:
        self.learner = learner
        self.batch = batch
        self.advantages = advantages
        self.algorithm = algorithm
        self.options = options
        self.ranks = ranks
        nothing = torch.zeros(batch.response_tokens, dtype=scores_dtype(learner.policy),
                              device=batch.device)
        self.log_probs = nothing
        """float[N] log-prob of each token when its mini-batch was last trained on."""
        self.proximal = nothing.clone()
        """float[N] log-prob of each token at the start of the rollout step, where known."""
        self.proximal_known = torch.zeros_like(nothing, dtype=torch.bool)
        """bool[N] where ``proximal`` is known."""
        self._metrics: list[MetricSums] = []
        self._denominators: list[Denominators] = []
        self._gradient_norms: dict[str, list[float]] = {}

    def score_proximal(self, mini_batches: Sequence[Sequence[int]]) -> None:
        """Fill ``proximal`` for all rows but the first mini-batch's, if the correction needs it."""
        later = sorted(set(range(len(self.batch))) - set(mini_batches[0]))
        if later and needs_proximal_log_probs(self.algorithm.correction):
            self.proximal = token_log_probs(
                self.learner.policy, self.batch, later, self.options.packing, self.ranks)
            self.proximal_known[row_token_index(self.batch.lengths, self._index(later))] = True

    def train(self, rows: Sequence[int], phases: Phases) -> None:
        """One optimiser step of the critic, then one of the actor, on ``rows``."""
        denominators = self._count(rows)
        if self.algorithm.estimator == "gae":
            with phases.measure("critic"):
                self.accumulate_value_gradient(rows, denominators)
                self._note_norm("value", self.learner.critic_optimiser.step())
        with phases.measure("actor"):
            log_probs = self.accumulate_policy_gradient(rows, denominators)
            self._note_norm("policy", self.learner.policy_optimiser.step())
        self._record(rows, sum_over_ranks(log_probs, self.ranks))
        self._denominators.append(denominators)

    def train_critic(self, rows: Sequence[int]) -> None:
        """One optimiser step of the critic alone on ``rows`` (value pretraining)."""
        denominators = self._count(rows)
        self.accumulate_value_gradient(rows, denominators)
        self._note_norm("value", self.learner.critic_optimiser.step())
        self._denominators.append(denominators)

    def accumulate_value_gradient(self, rows: Sequence[int], denominators: Denominators) -> None:
        """Add this rank's gradient of the value loss (spec section 1.8) of ``rows``."""
        for micro in self._micro_batches(rows):
            with compute_precision(self.batch.device, self.ranks.sharded):
                values = self.learner.critic(
                    micro.input_ids, micro.position_ids, micro.action_index)
            objective = value_objective(
                values, self.advantages.select_rows(micro.rows), denominators)
            objective.loss.backward()
            self._metrics.append(objective.metrics)

    def accumulate_policy_gradient(
        self, rows: Sequence[int], denominators: Denominators
    ) -> Tensor:
        """Add this rank's gradient of the actor loss (Eq 10) of ``rows``.

        Returns:
            float[N] current log-probs of this rank's tokens, 0 elsewhere.
        """
        known = bool(self._denominators) and needs_proximal_log_probs(self.algorithm.correction)
        log_probs = torch.zeros_like(self.log_probs)
        for micro in self._micro_batches(rows):
            with compute_precision(self.batch.device, self.ranks.sharded):
                scores = self.learner.policy(micro)
            objective = policy_objective(
                scores.log_probs,
                self.batch.behaviour_log_probs[micro.tokens],
                self.proximal[micro.tokens] if known else None,
                self.advantages.select_rows(micro.rows),
                denominators, self.algorithm, scores.entropy,
            )
            objective.loss.backward()
            log_probs[micro.tokens] = scores.log_probs.detach()
            self._metrics.append(objective.metrics)
        return log_probs

    def reduced_metrics(self) -> dict[str, float]:
        """Means over the rollout batch and all ranks; losses are means over optimiser steps."""
        steps = len(self._denominators)
        sums = sum_metrics(add_metrics(self._metrics), self.batch.device, self.ranks)
        means = {name: total / steps if name.endswith("loss") else total
                 for name, total in sums.items()}
        metrics = reduce_metrics(means, add_denominators(self._denominators))
        return metrics | {f"{name}/gradient_norm": max(norms)
                          for name, norms in self._gradient_norms.items()}

    def _record(self, rows: Sequence[int], log_probs: Tensor) -> None:
        """Keep this mini-batch's log-probs; the first one's are also its proximal log-probs."""
        tokens = row_token_index(self.batch.lengths, self._index(rows))
        self.log_probs[tokens] = log_probs[tokens]
        if not self._denominators:
            self.proximal[tokens] = log_probs[tokens]
            self.proximal_known[tokens] = True

    def _count(self, rows: Sequence[int]) -> Denominators:
        return count_denominators(self.advantages.select_rows(self._index(rows)))

    def _micro_batches(self, rows: Sequence[int]) -> list[MicroBatch]:
        return micro_batches_of_rank(self.batch, rows, self.options.packing, self.ranks)

    def _note_norm(self, name: str, norm: float) -> None:
        self._gradient_norms.setdefault(name, []).append(norm)

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self.batch.device)


def batch_values(
    learner: Learner, batch: Batch, algorithm: Options, options: UpdateOptions, ranks: Ranks
) -> tuple[StateValues | None, float]:
    """Values of all rows, and the share of rows that had to be scored here.

    Rows that the value service scored with a critic at most ``critic_version_lag`` versions old
    keep their values. None when the estimator needs no values.
    """
    if algorithm.estimator != "gae":
        return None, 0.0
    oldest = max(learner.version - options.critic_version_lag, learner.oldest_usable_critic)
    stale = [number for number, row in enumerate(batch.rows)
             if row.critic_version is None or row.critic_version < oldest]
    values = service_values(batch, learner.critic.value_head.weight.dtype, set(stale))
    if stale:
        scored = state_values(learner.critic, batch, stale, options.packing, ranks)
        values = StateValues(values.before_tokens + scored.before_tokens,
                             values.final + scored.final)
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
    """Rows of every optimiser step: each epoch a new shuffle, cut into parts of equal size."""
    parts = math.ceil(rows / options.mini_batch_rollouts)
    return [part.tolist() for _ in range(options.epochs)
            for part in np.array_split(random.permutation(rows), parts)]


def sum_metrics(sums: MetricSums, device: torch.device, ranks: Ranks) -> MetricSums:
    """Metric sums of all ranks; every rank has the same names."""
    stacked = sum_over_ranks(torch.stack([sums[name].to(device) for name in sorted(sums)]), ranks)
    return dict(zip(sorted(sums), stacked.cpu(), strict=True))
