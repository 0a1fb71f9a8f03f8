"""The values that the advantages of a batch are made of: the value service's, or scored here.

Invariant: beyond rounding, what is scored here depends on neither packing nor the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.algorithm.objective import ScoredRows
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.micro_batches import micro_batches
from trainer.ranks.parallel import sum_over_ranks


@dataclass(frozen=True)
class StateValues:
    """V of every state of a batch, without gradient."""

    before_tokens: Tensor
    """float[N] V of the state before each response token; 0 for rows not asked for."""
    final: Tensor
    """float[B] V after each row's last token; 0 for rows not asked for."""


def batch_values(learner: Learner, batch: RolloutBatch) -> tuple[StateValues, float]:
    """Values of all rows, and the share of rows that had to be scored here.

    Rows that the value service scored with a critic at most ``critic_version_lag`` versions older
    than the learner keep their values. Without a critic all values are 0.
    """
    if learner.algorithm.estimator != "gae":
        return _no_values(batch, torch.float32), 0.0
    critic, _ = learner.required_critic()
    oldest = max(learner.version - learner.trainer.critic_version_lag, learner.oldest_usable_critic)
    stale = [
        number for number, row in enumerate(batch.rows) if row.critic_version is None or row.critic_version < oldest
    ]
    values = _service_values(batch, critic.value_head.weight.dtype, set(stale))
    if stale:
        scored = state_values(learner, batch, stale)
        values = StateValues(values.before_tokens + scored.before_tokens, values.final + scored.final)
    return values, len(stale) / len(batch)


@torch.no_grad()
def state_values(learner: Learner, batch: RolloutBatch, rows: Sequence[int]) -> StateValues:
    """Values of ``rows`` under the current critic, on every rank."""
    critic, _ = learner.required_critic()
    result = _no_values(batch, critic.value_head.weight.dtype)
    with learner.ranks.precision():
        for micro in micro_batches(batch, rows, learner.trainer, learner.ranks):
            values = critic(micro.input_ids, micro.position_ids, micro.state_index)
            ends = (micro.lengths + 1).cumsum(0) - 1
            inside = torch.ones_like(values, dtype=torch.bool)
            inside[ends] = False
            result.before_tokens[micro.tokens] = values[inside]
            result.final[micro.rows] = values[ends]
    return StateValues(*(sum_over_ranks(part, learner.ranks) for part in (result.before_tokens, result.final)))


def scored_rows(batch: RolloutBatch, values: StateValues) -> ScoredRows:
    """``batch`` in the algorithm's form."""
    return ScoredRows(
        lengths=batch.lengths,
        rewards=batch.rewards,
        correct=batch.correct,
        truncated=batch.truncated,
        values=values.before_tokens,
        bootstrap_values=values.final,
        group_ids=batch.groups,
    )


def _no_values(batch: RolloutBatch, dtype: torch.dtype) -> StateValues:
    sizes = (batch.response_tokens, len(batch))
    return StateValues(*(torch.zeros(size, dtype=dtype, device=batch.device) for size in sizes))


def _service_values(batch: RolloutBatch, dtype: torch.dtype, without: set[int]) -> StateValues:
    """The values rows brought along; 0 for the rows in ``without``."""
    parts = [
        np.zeros(row.response_token_ids.size + 1, np.float32) if number in without or row.values is None else row.values
        for number, row in enumerate(batch.rows)
    ]
    before = np.concatenate([part[:-1] for part in parts])
    final = np.array([part[-1] for part in parts])
    return StateValues(*(torch.from_numpy(array).to(batch.device, dtype) for array in (before, final)))
