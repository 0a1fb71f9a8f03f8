"""Figures about a whole rollout batch that are not means of per-token sums.

They never enter a loss. Invariant: all read constants (no gradient) and return plain floats.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.algorithm.corrections import bounded_exp
from trainer.algorithm.metrics import kl_estimate
from trainer.algorithm.ragged import expand_rows, positions, row_starts, row_token_index

DECILES = 10


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """1 - Var(returns - values) / Var(returns) over tokens, float[N] each.

    1: perfect; 0: as good as predicting the mean; negative: worse. ``returns`` must be Monte-Carlo
    returns. None where all returns are equal (or there are none), since nothing
    is there to be explained.
    """
    if returns.numel() == 0:
        return None
    returns = returns.double()
    variance = float(returns.var(correction=0))
    if variance == 0.0:
        return None
    return 1.0 - float((returns - values.double()).var(correction=0)) / variance


def explained_variance_by_decile(values: Tensor, returns: Tensor, lengths: Tensor) -> list[float | None]:
    """:func:`explained_variance` within each tenth of the response, ten figures.

    What a critic knows it learns from the end backwards, so the last tenth rises first; at a small
    alpha the policy signal of the early tenths is only as good as theirs. None where no token
    falls or all returns are equal.
    """
    decile = _deciles(lengths)
    return [explained_variance(values[decile == number], returns[decile == number]) for number in range(DECILES)]


def value_bias(values: Tensor, returns: Tensor) -> float:
    """Mean V - R over tokens, float[N] each; 0 for a calibrated critic, in units of the reward."""
    return float((values.double() - returns.double()).mean())


def value_bias_by_length(values: Tensor, returns: Tensor, lengths: Tensor, parts: int = 4) -> list[dict[str, float]]:
    """:func:`value_bias` of short to long responses: rows sorted by length, cut into equal parts.

    Args:
        values: float[N].
        returns: float[N], Monte-Carlo.
        lengths: int64[B].
        parts: most parts; fewer where there are fewer rows.

    Returns:
        For each part its mean ``length`` in tokens and its ``bias``. A critic that has learnt
        "long means wrong" instead of the state shows here.
    """
    order = lengths.argsort(stable=True)
    found = []
    for rows in order.tensor_split(min(parts, order.numel())):
        tokens = row_token_index(lengths, rows)
        found.append(
            {"length": float(lengths[rows].double().mean()), "bias": value_bias(values[tokens], returns[tokens])}
        )
    return found


def initial_value_correlation(values: Tensor, returns: Tensor, lengths: Tensor, groups: Tensor) -> float | None:
    """Pearson correlation over prompts of V at t = 0 with the prompt's mean return.

    Whether the critic tells hard prompts from easy ones before a token is written.

    Args:
        values: float[N].
        returns: float[N], Monte-Carlo.
        lengths: int64[B].
        groups: int64[B], number of each row's prompt.

    Returns:
        -1 to 1; None where there are fewer than two prompts or one of the two does not vary.
    """
    starts = row_starts(lengths)
    _, group = groups.unique(return_inverse=True)
    count = torch.bincount(group).double()
    pair = [torch.zeros_like(count).index_add(0, group, flat[starts].double()) / count for flat in (values, returns)]
    first, second = (mean - mean.mean() for mean in pair)
    scale = float(first.norm() * second.norm())
    return float(first @ second) / scale if scale > 1e-12 else None


def initial_value_mean(values: Tensor, lengths: Tensor) -> float:
    """Mean V of the bare prompt (t = 0). A calibrated critic has it at the mean reward; VC-PPO saw
    it start 1.5 below, which is what value pretraining is for."""
    return float(values[row_starts(lengths)].double().mean())


def ratio_quantiles(log_ratio: Tensor, quantiles: Sequence[float] = (0.0, 0.01, 0.5, 0.99, 1.0)) -> list[float]:
    """Quantiles of a policy ratio from its log, float[N]; the tails show staleness first.

    Ratios are finite as in the loss, see :func:`trainer.algorithm.corrections.bounded_exp`.
    """
    ordered = log_ratio.double().sort().values
    places = [round(quantile * (ordered.numel() - 1)) for quantile in quantiles]
    return bounded_exp(ordered[places]).tolist()


def effective_sample_size(weights: Tensor) -> float:
    """(sum w)^2 / (N sum w^2), the share of N samples that weights float[N] leave, 0 to 1."""
    weights = weights.double()
    squares = float(weights.square().sum())
    return float(weights.sum()) ** 2 / (weights.numel() * squares) if squares > 0 else 0.0


def mismatch_kl(behaviour_log_probs: Tensor, trainer_log_probs: Tensor) -> float:
    """KL(behaviour || trainer), nats per token, from sampled tokens' log-probs, float[N] each.

    Schulman's estimator k3, rho - 1 - log rho: never negative, small variance near rho = 1.
    """
    return float(kl_estimate(behaviour_log_probs.double(), trainer_log_probs.double()).mean())


def mismatch_kl_k1(behaviour_log_probs: Tensor, trainer_log_probs: Tensor) -> float:
    """The same divergence by the plain estimator k1, -log rho: unbiased too, may be negative.

    Where k1 and k3 part company, a few tokens with large rho make up k3.
    """
    return float((behaviour_log_probs.double() - trainer_log_probs.double()).mean())


def advantage_by_decile(advantages: Tensor, lengths: Tensor) -> list[float]:
    """Mean |A| by relative position in the response, ten figures; nan where no token falls.

    At a small alpha the reward itself reaches the last alpha * l tokens only; the rest of this
    profile is made of differences of V.
    """
    decile = _deciles(lengths)
    start = torch.zeros(DECILES, dtype=torch.float64, device=advantages.device)
    total = start.index_add(0, decile, advantages.double().abs())
    count = start.index_add(0, decile, torch.ones_like(decile, dtype=torch.float64))
    return (total / count).tolist()


def _deciles(lengths: Tensor) -> Tensor:
    """Tenth of its response each token lies in, 0 to 9, int64[N]."""
    return positions(lengths) * DECILES // expand_rows(lengths, lengths)
