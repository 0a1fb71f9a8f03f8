"""Optimiser steps of the actor on one rollout batch, and the log-probs it has on the way.

Invariant: proximal log-probs are those of the weights at the start of the rollout step. The first
mini-batch meets exactly these weights, so its own forward pass supplies them; only the others cost
one more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.algorithm.denominators import Denominators
from trainer.algorithm.objective import LearningSignal, Objective, policy_objective
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.micro_batches import MicroBatch, micro_batches
from trainer.learning.optimiser_steps import OptimiserSteps
from trainer.learning.policy import Policy
from trainer.ranks.parallel import sum_over_ranks
from vapo.settings.corrections import CORRECTIONS


class PolicySteps:
    """The actor's optimiser steps."""

    def __init__(self, learner: Learner, batch: RolloutBatch, signal: LearningSignal) -> None:
        self._learner, self._batch = learner, batch
        self._needs_proximal = CORRECTIONS[learner.algorithm.correction].needs_proximal
        self.log_probs = no_log_probs(learner.policy, batch)
        """float[N] log-prob of each token when its mini-batch was last trained on."""
        self.proximal = torch.zeros_like(self.log_probs)
        """float[N] log-prob of each token at the start of the rollout step, where known."""
        self.proximal_known = torch.zeros_like(self.log_probs, dtype=torch.bool)
        """bool[N] where ``proximal`` is known."""
        self._current = torch.zeros_like(self.log_probs)  # of this rank's tokens of this mini-batch
        self.steps = OptimiserSteps("policy", learner.policy_optimiser, self._objective, learner, batch, signal)

    def score_proximal(self, mini_batches: Sequence[Sequence[int]]) -> None:
        """Fill ``proximal`` for all rows but the first mini-batch's, if the correction needs it."""
        later = sorted(set(range(len(self._batch))) - set(mini_batches[0]))
        if later and self._needs_proximal:
            self.proximal = token_log_probs(self._learner, self._batch, later)
            self.proximal_known[self._batch.tokens_of(later)] = True

    def train(self, rows: Sequence[int]) -> None:
        """One optimiser step on ``rows``, whose log-probs before it are kept.

        Raises:
            FloatingPointError: the gradient is not finite.
        """
        self._current = torch.zeros_like(self.log_probs)
        self.steps.train_on(rows)
        tokens = self._batch.tokens_of(rows)
        self.log_probs[tokens] = sum_over_ranks(self._current, self._learner.ranks)[tokens]
        if self.steps.done == 1:
            self.proximal[tokens] = self.log_probs[tokens]
            self.proximal_known[tokens] = True

    def _objective(self, micro: MicroBatch, signal: LearningSignal, denominators: Denominators) -> Objective:
        """The actor loss (Eq 10) of one micro-batch."""
        with self._learner.ranks.precision():
            scores = self._learner.policy(micro)
        self._current[micro.tokens] = scores.log_probs.detach()
        return policy_objective(
            scores.log_probs,
            self._batch.behaviour_log_probs[micro.tokens],
            self.proximal[micro.tokens] if self.steps.done and self._needs_proximal else None,
            signal,
            denominators,
            self._learner.algorithm,
            scores.entropy,
        )


@torch.no_grad()
def token_log_probs(learner: Learner, batch: RolloutBatch, rows: Sequence[int]) -> Tensor:
    """Log-probs of the response tokens of ``rows`` under the current actor, on every rank.

    Returns:
        float[N]; 0 for rows not asked for. Beyond rounding it depends on neither packing nor ranks.
    """
    log_probs = no_log_probs(learner.policy, batch)
    with learner.ranks.precision():
        for micro in micro_batches(batch, rows, learner.trainer, learner.ranks):
            log_probs[micro.tokens] = learner.policy(micro).log_probs
    return sum_over_ranks(log_probs, learner.ranks)


def no_log_probs(policy: Policy, batch: RolloutBatch) -> Tensor:
    """Zeros for all tokens of ``batch``: float64[N] for a float64 model, else float32[N]."""
    dtype = torch.promote_types(next(policy.parameters()).dtype, torch.float32)
    return torch.zeros(batch.response_tokens, dtype=dtype, device=batch.device)
