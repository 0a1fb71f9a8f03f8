"""One rollout batch: values, frozen advantages and targets, then mini-batches of critic and actor.

The order is the point (VC-PPO Algorithm 1). Values are read before the critic learns from these
rows: afterwards it has seen their returns and is no longer their baseline. Advantages and targets
are then constants for all mini-batches and epochs.

Critic and actor are separate models with separate optimisers, so all steps of the one may come
before all steps of the other; the critic may take more of them, smaller ones, or meet rows again.

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

from trainer.algorithm.denominators import Denominators
from trainer.algorithm.objective import (
    AdvantageBatch,
    RowBatch,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
)
from trainer.algorithm.options import Options
from trainer.algorithm.ragged import row_token_index
from trainer.learning.batch import Batch, MicroBatch
from trainer.learning.critic_replay import CriticReplay
from trainer.learning.critic_steps import CriticSteps
from trainer.learning.forward import (
    Packing,
    StateValues,
    micro_batches_of_rank,
    scores_dtype,
    state_values,
    token_log_probs,
)
from trainer.learning.models import Policy, compute_precision
from trainer.learning.optimiser import Optimiser
from trainer.learning.phase_times import Phases
from trainer.learning.step_record import StepRecord
from trainer.ranks.parallel import Ranks, sum_over_ranks
from vapo.model.critic import Critic
from vapo.settings.corrections import correction_facts


@dataclass(frozen=True)
class UpdateOptions:
    """How a rollout batch is cut up."""

    mini_batch_rollouts: int
    """Responses per optimiser step."""
    packing: Packing
    epochs: int = 1
    critic_version_lag: int = 1
    """Values scored by a critic at most this many versions old are used as they are."""
    critic_epochs: int | None = None
    """Passes of the critic over each rollout batch; None: as many as the actor's."""
    critic_mini_batch_rollouts: int | None = None
    """Responses per optimiser step of the critic; None: as many as the actor's."""

    def policy_mini_batches(self, rows: int, random: np.random.Generator) -> list[list[int]]:
        """Rows (numbers below ``rows``) of every optimiser step of the actor."""
        return draw_mini_batches(rows, self.mini_batch_rollouts, self.epochs, random)

    def critic_mini_batches(self, rows: int, random: np.random.Generator) -> list[list[int]]:
        """Rows (numbers below ``rows``) of every optimiser step of the critic."""
        return draw_mini_batches(
            rows, self.critic_mini_batch_rollouts or self.mini_batch_rollouts, self.critic_epochs or self.epochs, random
        )


@dataclass
class Learner:
    """Actor and critic with their optimisers."""

    policy: Policy
    policy_optimiser: Optimiser
    critic: Critic | None
    """None with a group estimator."""
    critic_optimiser: Optimiser | None
    version: int = 0
    """Version of the weights last published, which the models held at the start of this step."""
    oldest_usable_critic: int = 0
    """Values of older critics are never used: they had not been pretrained."""
    replay: CriticReplay = field(default_factory=CriticReplay)
    """Earlier rows that the critic trains on again; by default none."""

    def required_critic(self) -> tuple[Critic, Optimiser]:
        """The critic and its optimiser. Raises ValueError in a run without a critic."""
        if self.critic is None or self.critic_optimiser is None:
            raise ValueError("this run has no critic, since algorithm.estimator is 'group'; set it to 'gae'")
        return self.critic, self.critic_optimiser


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
    version: int
    """Version of the weights at the start of the rollout step."""
    rescored_fraction: float
    """Share of rows whose values the trainer computed itself."""
    metrics: dict[str, float]


def update(
    learner: Learner,
    batch: Batch,
    algorithm: Options,
    options: UpdateOptions,
    ranks: Ranks,
    random: np.random.Generator,
    phases: Phases,
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
    step = PolicySteps(learner, batch, advantages, algorithm, options, ranks)
    mini_batches = options.policy_mini_batches(len(batch), random)
    with phases.measure("proximal"):
        step.score_proximal(mini_batches)
    with phases.measure("critic"):
        value_metrics = update_critic(learner, batch, advantages, algorithm, options, ranks, random)
    with phases.measure("actor"):
        for rows in mini_batches:
            step.train(rows)
    metrics = step.reduced_metrics() | value_metrics
    before = values.before_tokens if values else torch.zeros_like(step.log_probs)
    return UpdateResult(
        advantages, before, step.log_probs, step.proximal, step.proximal_known, learner.version, rescored, metrics
    )


def update_critic(
    learner: Learner,
    batch: Batch,
    advantages: AdvantageBatch,
    algorithm: Options,
    options: UpdateOptions,
    ranks: Ranks,
    random: np.random.Generator,
) -> dict[str, float]:
    """All critic steps of one rollout step, on ``batch`` and on the rows kept for replay.

    Returns:
        Metrics over all rows trained on; none when the estimator has no critic.
    """
    if algorithm.estimator != "gae":
        return {}
    rows, targets = learner.replay.extend(batch, advantages)
    step = CriticSteps(*learner.required_critic(), rows, targets, options.packing, ranks)
    for part in options.critic_mini_batches(len(rows), random):
        step.train(part)
    return step.reduced_metrics()


class PolicySteps:
    """The actor's optimiser steps on one rollout batch, whose advantages are constants."""

    def __init__(
        self,
        learner: Learner,
        batch: Batch,
        advantages: AdvantageBatch,
        algorithm: Options,
        options: UpdateOptions,
        ranks: Ranks,
    ) -> None:
        self.learner = learner
        self.batch = batch
        self.advantages = advantages
        self.algorithm = algorithm
        self.options = options
        self.ranks = ranks
        nothing = torch.zeros(batch.response_tokens, dtype=scores_dtype(learner.policy), device=batch.device)
        self.log_probs = nothing
        """float[N] log-prob of each token when its mini-batch was last trained on."""
        self.proximal = nothing.clone()
        """float[N] log-prob of each token at the start of the rollout step, where known."""
        self.proximal_known = torch.zeros_like(nothing, dtype=torch.bool)
        """bool[N] where ``proximal`` is known."""
        self._record = StepRecord("policy")

    def score_proximal(self, mini_batches: Sequence[Sequence[int]]) -> None:
        """Fill ``proximal`` for all rows but the first mini-batch's, if the correction needs it."""
        later = sorted(set(range(len(self.batch))) - set(mini_batches[0]))
        if later and correction_facts(self.algorithm.correction).needs_proximal:
            self.proximal = token_log_probs(self.learner.policy, self.batch, later, self.options.packing, self.ranks)
            self.proximal_known[row_token_index(self.batch.lengths, self._index(later))] = True

    def train(self, rows: Sequence[int]) -> None:
        """One optimiser step on ``rows``.

        Raises:
            FloatingPointError: the gradient is not finite.
        """
        denominators = count_denominators(self.advantages.select_rows(self._index(rows)))
        log_probs = self.accumulate_gradient(rows, denominators)
        norm = self.learner.policy_optimiser.step()
        self._keep(rows, sum_over_ranks(log_probs, self.ranks))
        self._record.end_step(denominators, norm)

    def accumulate_gradient(self, rows: Sequence[int], denominators: Denominators) -> Tensor:
        """Add this rank's gradient of the actor loss (Eq 10) of ``rows``.

        Returns:
            float[N] current log-probs of this rank's tokens, 0 elsewhere.
        """
        known = self._record.steps > 0 and correction_facts(self.algorithm.correction).needs_proximal
        log_probs = torch.zeros_like(self.log_probs)
        for micro in self._micro_batches(rows):
            with compute_precision(self.batch.device, self.ranks.sharded):
                scores = self.learner.policy(micro)
            objective = policy_objective(
                scores.log_probs,
                self.batch.behaviour_log_probs[micro.tokens],
                self.proximal[micro.tokens] if known else None,
                self.advantages.select_rows(micro.rows),
                denominators,
                self.algorithm,
                scores.entropy,
            )
            objective.loss.backward()
            log_probs[micro.tokens] = scores.log_probs.detach()
            self._record.add_micro_batch(objective.metrics)
        return log_probs

    def reduced_metrics(self) -> dict[str, float]:
        """Means over the rollout batch and all ranks; every rank must call this."""
        return self._record.reduce(self.batch.device, self.ranks)

    def _keep(self, rows: Sequence[int], log_probs: Tensor) -> None:
        """Keep this mini-batch's log-probs; the first one's are also its proximal log-probs."""
        tokens = row_token_index(self.batch.lengths, self._index(rows))
        self.log_probs[tokens] = log_probs[tokens]
        if not self._record.steps:
            self.proximal[tokens] = log_probs[tokens]
            self.proximal_known[tokens] = True

    def _micro_batches(self, rows: Sequence[int]) -> list[MicroBatch]:
        return micro_batches_of_rank(self.batch, rows, self.options.packing, self.ranks)

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
    critic, _ = learner.required_critic()
    oldest = max(learner.version - options.critic_version_lag, learner.oldest_usable_critic)
    stale = [
        number for number, row in enumerate(batch.rows) if row.critic_version is None or row.critic_version < oldest
    ]
    values = service_values(batch, critic.value_head.weight.dtype, set(stale))
    if stale:
        scored = state_values(critic, batch, stale, options.packing, ranks)
        values = StateValues(values.before_tokens + scored.before_tokens, values.final + scored.final)
    return values, len(stale) / len(batch)


def service_values(batch: Batch, dtype: torch.dtype, without: set[int]) -> StateValues:
    """The values rows brought along; 0 for the rows in ``without``."""
    parts = [
        np.zeros(row.response_token_ids.size + 1, np.float32) if number in without or row.values is None else row.values
        for number, row in enumerate(batch.rows)
    ]
    before = np.concatenate([part[:-1] for part in parts])
    final = np.array([part[-1] for part in parts])
    return StateValues(*(torch.from_numpy(array).to(batch.device, dtype) for array in (before, final)))


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


def draw_mini_batches(rows: int, size: int, epochs: int, random: np.random.Generator) -> list[list[int]]:
    """Rows of every optimiser step: each epoch a new shuffle, cut into parts of equal size.

    Args:
        rows: rows of the batch.
        size: most rows of a part.
        epochs: passes over the batch.
        random: must be in the same state on every rank.
    """
    parts = math.ceil(rows / size)
    return [part.tolist() for _ in range(epochs) for part in np.array_split(random.permutation(rows), parts)]
