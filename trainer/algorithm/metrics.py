"""Metrics of an optimiser step, carried as sums until the very end.

Invariants:
- a micro-batch gives sums, sums add up over micro-batches and ranks, and only
  :func:`reduce_metrics` divides, by the global denominators; so a metric does not depend on the
  split any more than the loss does;
- every key is in :data:`DENOMINATOR_OF`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from trainer.algorithm.corrections import Correction, TokenLogProbs, bounded_exp
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.policy_loss import Surrogate

MetricSums = dict[str, Tensor]
"""Metric name -> float64 scalar sum."""

ALREADY_NORMALISED = "one"

DENOMINATOR_OF: dict[str, str] = {
    "policy/loss": ALREADY_NORMALISED,
    "policy/positive_example_loss": ALREADY_NORMALISED,
    "policy/total_loss": ALREADY_NORMALISED,
    "policy/positive_example_nll": "positive_tokens",
    "policy/positive_token_fraction": "policy_tokens",
    "policy/clip_fraction_up": "policy_tokens",
    "policy/clip_fraction_down": "policy_tokens",
    "policy/ratio": "policy_tokens",
    "policy/advantage": "policy_tokens",
    "policy/advantage_magnitude": "policy_tokens",
    "policy/entropy": "policy_tokens",
    "policy/correction_weight": "policy_tokens",
    "policy/correction_weight_squared": "policy_tokens",
    "policy/correction_dropped_fraction": "policy_tokens",
    "policy/kl_from_behaviour": "policy_tokens",
    "policy/kl_from_behaviour_k1": "policy_tokens",
    "value/loss": ALREADY_NORMALISED,
    "value/value": "value_tokens",
    "value/return": "value_tokens",
    "value/return_squared": "value_tokens",
    "value/error": "value_tokens",
    "value/error_squared": "value_tokens",
}
"""Which field of :class:`Denominators` turns the sum into a mean; losses are shares already."""


def policy_metric_sums(
    tokens: TokenLogProbs,
    surrogate: Surrogate,
    correction: Correction,
    mask: Tensor,
    advantages: Tensor,
    entropies: Tensor | None,
) -> MetricSums:
    """Sums over the tokens of the policy loss of one micro-batch; all arguments are [n]."""
    per_token = {
        "policy/clip_fraction_up": surrogate.clipped_up,
        "policy/clip_fraction_down": surrogate.clipped_down,
        "policy/ratio": surrogate.ratio,
        "policy/advantage": advantages,
        "policy/advantage_magnitude": advantages.abs(),
        "policy/correction_weight": correction.weights,
        "policy/correction_weight_squared": correction.weights.square(),
        "policy/correction_dropped_fraction": correction.weights == 0,
        "policy/kl_from_behaviour": kl_estimate(tokens.behaviour, tokens.current),
        "policy/kl_from_behaviour_k1": tokens.behaviour - tokens.current,
    }
    if entropies is not None:
        per_token["policy/entropy"] = entropies
    return {name: _masked_sum(values, mask) for name, values in per_token.items()}


def positive_metric_sums(log_probs: Tensor, mask: Tensor) -> MetricSums:
    """Sums over the tokens of correct rows of one micro-batch, float[n] and bool[n].

    Negative log-likelihood as Eq 9 has it, without correction weights, and their number: at r = 1
    the positive-example loss is an extra advantage of mu over their share of the policy's tokens.
    """
    return {
        "policy/positive_example_nll": _masked_sum(-log_probs, mask),
        "policy/positive_token_fraction": mask.double().sum(),
    }


def value_metric_sums(values: Tensor, returns: Tensor, mask: Tensor) -> MetricSums:
    """Sums over the tokens of the value loss of one micro-batch; all arguments are [n].

    ``returns`` are Monte-Carlo returns: explained variance against bootstrapped targets would
    measure the critic by itself.
    """
    error = returns.double() - values.double()
    per_token = {
        "value/value": values,
        "value/return": returns,
        "value/return_squared": returns.double().square(),
        "value/error": error,
        "value/error_squared": error.square(),
    }
    return {name: _masked_sum(known, mask) for name, known in per_token.items()}


def kl_estimate(sampled_from: Tensor, other: Tensor) -> Tensor:
    """Per-token estimate of KL(sampled_from || other), non-negative, unbiased ("k3", Schulman).

    Args:
        sampled_from: float[n], log-probs under the policy the tokens were sampled from.
        other: float[n], log-probs of the same tokens under the other policy.
    """
    log_ratio = other - sampled_from
    return bounded_exp(log_ratio) - 1.0 - log_ratio


def add_metrics(parts: Iterable[MetricSums]) -> MetricSums:
    """Sum over micro-batches (or ranks), key by key."""
    total: MetricSums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def reduce_metrics(sums: MetricSums, denominators: Denominators) -> dict[str, float]:
    """Means of the optimiser step, and what follows from them.

    Adds ``policy/effective_sample_size`` (share of the tokens, 0 to 1) and
    ``value/explained_variance`` (1 perfect, 0 as good as the mean; absent where all returns are
    equal). A metric over an empty set is left out.

    Raises:
        KeyError: a metric that :data:`DENOMINATOR_OF` does not know.
    """
    means: dict[str, float] = {}
    for name, total in sums.items():
        field = DENOMINATOR_OF[name]
        count = 1.0 if field == ALREADY_NORMALISED else getattr(denominators, field)
        if count > 0:
            means[name] = float(total) / count
    return means | _effective_sample_size(means) | _explained_variance(means)


def _effective_sample_size(means: dict[str, float]) -> dict[str, float]:
    squared = means.get("policy/correction_weight_squared", 0.0)
    if squared == 0.0:
        return {}
    return {"policy/effective_sample_size": means["policy/correction_weight"] ** 2 / squared}


def _explained_variance(means: dict[str, float]) -> dict[str, float]:
    if "value/return" not in means:
        return {}
    return_variance = means["value/return_squared"] - means["value/return"] ** 2
    error_variance = means["value/error_squared"] - means["value/error"] ** 2
    if return_variance <= 1e-12:
        return {}
    return {"value/explained_variance": 1.0 - error_variance / return_variance}


def _masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values.detach().double(), 0.0).sum()
