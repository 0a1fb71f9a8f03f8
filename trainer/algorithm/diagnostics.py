"""Figures about a whole rollout batch that are not means of per-token sums.

They never enter a loss. Invariant: all read constants (no gradient) and return plain floats.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.algorithm.metrics import kl_estimate
from trainer.algorithm.ragged import expand_rows, positions, row_starts

DECILES = 10


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """1 - Var(returns - values) / Var(returns) over tokens, float[N] each.

    1: perfect; 0: as good as predicting the mean; negative: worse. ``returns`` must be Monte-Carlo
    returns. None where all returns are equal, since nothing is there to be explained.
    """
    returns = returns.double()
    variance = float(returns.var(correction=0))
    if variance == 0.0:
        return None
    return 1.0 - float((returns - values.double()).var(correction=0)) / variance


def initial_value_mean(values: Tensor, lengths: Tensor) -> float:
    """Mean V of the bare prompt (t = 0). A calibrated critic has it at the mean reward; VC-PPO saw
    it start 1.5 below, which is what value pretraining is for."""
    return float(values[row_starts(lengths)].double().mean())


def ratio_quantiles(
    log_ratio: Tensor, quantiles: Sequence[float] = (0.0, 0.01, 0.5, 0.99, 1.0)
) -> list[float]:
    """Quantiles of a policy ratio from its log, float[N]; the tails show staleness first."""
    ordered = log_ratio.double().sort().values
    places = [round(quantile * (ordered.numel() - 1)) for quantile in quantiles]
    return ordered[places].exp().tolist()


def effective_sample_size(weights: Tensor) -> float:
    """(sum w)^2 / (N sum w^2), the share of N samples that weights float[N] leave, 0 to 1."""
    weights = weights.double()
    squares = float(weights.square().sum())
    return float(weights.sum()) ** 2 / (weights.numel() * squares) if squares > 0 else 0.0


def mismatch_kl(behaviour_log_probs: Tensor, trainer_log_probs: Tensor) -> float:
    """KL(behaviour || trainer), nats per token, from sampled tokens' log-probs, float[N] each."""
    return float(kl_estimate(behaviour_log_probs.double(), trainer_log_probs.double()).mean())


def advantage_by_decile(advantages: Tensor, lengths: Tensor) -> list[float]:
    """Mean |A| by relative position in the response, ten figures; nan where no token falls.

    At a small alpha the reward itself reaches the last alpha * l tokens only; the rest of this
    profile is made of differences of V.
    """
    decile = positions(lengths) * DECILES // expand_rows(lengths, lengths)
    start = torch.zeros(DECILES, dtype=torch.float64, device=advantages.device)
    total = start.index_add(0, decile, advantages.double().abs())
    count = start.index_add(0, decile, torch.ones_like(decile, dtype=torch.float64))
    return (total / count).tolist()
