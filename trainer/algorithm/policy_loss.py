"""The policy loss, Eq 6-8, token level or sample level, and its per-token surrogates.

Invariants: gradient flows through the current log-probs only; each function returns this
micro-batch's share of the loss of the whole optimiser step, so shares add up to the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.algorithm.corrections import LOG_RATIO_LIMIT
from trainer.algorithm.denominators import masked_mean
from vapo.settings.corrections import Bounds


@dataclass(frozen=True)
class Surrogate:
    """``objective``: float[n], to be maximised. ``ratio``: float[n], without gradient.
    ``clipped_up`` and ``clipped_down``, bool[n]: tokens whose gradient the upper, the lower edge
    takes away (or bounds, where the edges are of the ratio itself)."""

    objective: Tensor
    ratio: Tensor
    clipped_up: Tensor
    clipped_down: Tensor


def clipped_surrogate(
    log_probs: Tensor,
    anchor_log_probs: Tensor,
    advantages: Tensor,
    clip_low: float | Tensor,
    clip_high: float | Tensor,
    dual_clip: float | None = None,
) -> Surrogate:
    """min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) of Eq 8 with r of Eq 2, per token.

    The upper and the lower edge are separate (clip-higher). A < 0 with a large r stays unbounded,
    as in the paper, unless ``dual_clip`` is given; only the log ratio is held within
    +-``LOG_RATIO_LIMIT``, where exp would overflow.

    Args:
        log_probs: float[n], current policy, carries the gradient.
        anchor_log_probs: float[n], denominator of the ratio; taken as constant.
        advantages: float[n]; taken as constant.
        clip_low: epsilon_low, one number or float[n].
        clip_high: epsilon_high, of the same kind.
        dual_clip: c > 1 of dual-clip PPO (Ye et al., arXiv 1912.09729 Eq 5): where A < 0 the
            objective is max(min(...), c A). None: the paper has none.
    """
    advantages = advantages.detach().to(log_probs.dtype)
    log_ratio = log_probs - anchor_log_probs.detach().to(log_probs.dtype)
    ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    edges: Any = (1.0 - clip_low, 1.0 + clip_high)  # two numbers or two tensors, never mixed
    clipped = ratio.clamp(*edges)
    objective = torch.minimum(ratio * advantages, clipped * advantages)
    known = ratio.detach()
    clipped_up = (known > 1.0 + clip_high) & (advantages > 0)
    if dual_clip is not None:
        floor = torch.maximum(objective, dual_clip * advantages)
        objective = torch.where(advantages < 0, floor, objective)
        clipped_up = clipped_up | ((known > dual_clip) & (advantages < 0))
    clipped_down = (known < 1.0 - clip_low) & (advantages < 0)
    return Surrogate(objective, known, clipped_up, clipped_down)


def score_surrogate(log_probs: Tensor, anchor_log_probs: Tensor, advantages: Tensor, bounds: Bounds) -> Surrogate:
    """A log pi per token, which DIS and CISPO multiply by their bounded ratio as a constant.

    Args:
        log_probs: float[n], current policy, carries the gradient.
        anchor_log_probs: float[n], denominator of the ratio; taken as constant.
        advantages: float[n]; taken as constant.
        bounds: of the ratio; what lies outside counts as clipped.
    """
    advantages = advantages.detach().to(log_probs.dtype)
    log_ratio = log_probs.detach() - anchor_log_probs.detach().to(log_probs.dtype)
    ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return Surrogate(advantages * log_probs, ratio, ratio > bounds.high, ratio < bounds.low)


def token_level_loss(objective: Tensor, weights: Tensor, policy_tokens: float) -> Tensor:
    """Eq 7: minus the mean over all tokens of the training batch.

    Args:
        objective: float[n], a :class:`Surrogate`'s.
        weights: float[n], policy mask times correction weight.
        policy_tokens: tokens in the policy mask over the whole optimiser step.
    """
    return -masked_mean(objective, weights, policy_tokens)


def sample_level_loss(objective: Tensor, weights: Tensor, row_lengths: Tensor, policy_rows: float) -> Tensor:
    """Eq 6: minus the mean over rows of each row's token mean; every token weighs 1 / (G |o_i|).

    Args:
        objective: float[n].
        weights: float[n], policy mask times correction weight.
        row_lengths: int64 or float[n], |o_i| of the row each token belongs to.
        policy_rows: G, rows in the policy mask over the whole optimiser step.
    """
    return -masked_mean(objective, weights / row_lengths, policy_rows)
