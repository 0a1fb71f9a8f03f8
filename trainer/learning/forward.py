"""Forward passes without gradient over many rows, put back into flat arrays on every rank.

Invariant: the result does not depend on packing or on the number of ranks beyond rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.learning.batch import Batch, MicroBatch, idle_micro_batch
from trainer.learning.models import Policy, compute_precision
from trainer.ranks.parallel import Ranks, largest_over_ranks, split_rows, sum_over_ranks
from vapo.model.critic import Critic


@dataclass(frozen=True)
class Packing:
    """How micro-batches are made."""

    token_budget: int
    """Tokens of a micro-batch, padding included."""
    flat: bool = False
    """One line per micro-batch, for flash attention's variable-length kernels."""


@dataclass(frozen=True)
class StateValues:
    """V of every state of a batch, without gradient."""

    before_tokens: Tensor
    """float[N] V of the state before each response token; 0 for rows not asked for."""
    final: Tensor
    """float[B] V after each row's last token; 0 for rows not asked for."""


def micro_batches_of_rank(batch: Batch, rows: Sequence[int], packing: Packing, ranks: Ranks) -> list[MicroBatch]:
    """This rank's share of ``rows`` as micro-batches, equally many on every rank."""
    share = split_rows(rows, batch.sequence_lengths, ranks.size)[ranks.rank]
    own = batch.micro_batches(share, packing.token_budget, packing.flat)
    missing = largest_over_ranks(len(own), ranks) - len(own)
    return own + [idle_micro_batch(batch.device)] * missing


@torch.no_grad()
def state_values(critic: Critic, batch: Batch, rows: Sequence[int], packing: Packing, ranks: Ranks) -> StateValues:
    """Values of ``rows`` under the current critic."""
    dtype = critic.value_head.weight.dtype
    before = torch.zeros(batch.response_tokens, dtype=dtype, device=batch.device)
    final = torch.zeros(len(batch), dtype=dtype, device=batch.device)
    with compute_precision(batch.device, ranks.sharded):
        for micro in micro_batches_of_rank(batch, rows, packing, ranks):
            values = critic(micro.input_ids, micro.position_ids, micro.state_index)
            ends = (micro.lengths + 1).cumsum(0) - 1
            inside = torch.ones_like(values, dtype=torch.bool)
            inside[ends] = False
            before[micro.tokens] = values[inside]
            final[micro.rows] = values[ends]
    return StateValues(sum_over_ranks(before, ranks), sum_over_ranks(final, ranks))


@torch.no_grad()
def token_log_probs(policy: Policy, batch: Batch, rows: Sequence[int], packing: Packing, ranks: Ranks) -> Tensor:
    """Log-probs of the response tokens of ``rows`` under the current actor.

    Returns:
        float[N]; 0 for rows not asked for.
    """
    log_probs = torch.zeros(batch.response_tokens, device=batch.device, dtype=scores_dtype(policy))
    with compute_precision(batch.device, ranks.sharded):
        for micro in micro_batches_of_rank(batch, rows, packing, ranks):
            log_probs[micro.tokens] = policy(micro).log_probs
    return sum_over_ranks(log_probs, ranks)


def scores_dtype(policy: Policy) -> torch.dtype:
    """float64 for a float64 model, else float32."""
    return torch.promote_types(next(policy.parameters()).dtype, torch.float32)
