"""The metrics row of one rollout step, under the names people and dashboards read.

Invariants: plain JSON values; None where a figure does not exist (no positives, all returns equal);
times in seconds, lengths in tokens, log-probs and entropy in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from trainer.algorithm.corrections import bounded_exp
from trainer.algorithm.diagnostics import (
    advantage_by_decile,
    effective_sample_size,
    explained_variance,
    explained_variance_by_decile,
    initial_value_correlation,
    initial_value_mean,
    mismatch_kl,
    mismatch_kl_k1,
    ratio_quantiles,
    value_bias,
    value_bias_by_length,
)
from trainer.algorithm.ragged import row_token_index
from trainer.learning.batch import RolloutBatch
from trainer.learning.update import UpdateResult
from trainer.learning.value_pretraining import PretrainingResult
from trainer.records.mismatch import Mismatch

UPDATE_NAMES = {
    "policy/loss": "policy_loss",
    "policy/positive_example_nll": "positive_nll",
    "policy/positive_token_fraction": "positive_token_fraction",
    "policy/entropy": "entropy",
    "policy/clip_fraction_up": "clip_fraction_up",
    "policy/clip_fraction_down": "clip_fraction_down",
    "policy/effective_sample_size": "effective_sample_size",
    "policy/correction_weight": "correction_weight",
    "policy/correction_dropped_fraction": "correction_dropped_fraction",
    "policy/kl_from_behaviour": "kl_from_behaviour",
    "policy/kl_from_behaviour_k1": "kl_from_behaviour_k1",
    "policy/advantage": "advantage",
    "policy/advantage_magnitude": "advantage_magnitude",
    "policy/gradient_norm": "policy_gradient_norm",
    "value/loss": "value_loss",
    "value/gradient_norm": "value_gradient_norm",
}
RATIO_QUANTILES = {"ratio_min": 0.0, "ratio_p01": 0.01, "ratio_p50": 0.5, "ratio_p99": 0.99, "ratio_max": 1.0}


def batch_metrics(batch: RolloutBatch) -> dict[str, Any]:
    """What the rollouts themselves tell."""
    lengths = batch.lengths.double()
    return {
        "rollouts": len(batch),
        "tasks": int(batch.groups.max()) + 1,
        "tokens": batch.response_tokens,
        "reward": float(batch.rewards.double().mean()),
        "accuracy": float(batch.correct.double().mean()),
        "truncated_fraction": float(batch.truncated.double().mean()),
        "response_length": float(lengths.mean()),
        "response_length_max": int(lengths.max()),
    }


def update_metrics(batch: RolloutBatch, result: UpdateResult) -> dict[str, Any]:
    """What one update of actor and critic tells."""
    row: dict[str, Any] = {short: result.metrics.get(name) for name, short in UPDATE_NAMES.items()}
    row["rescored_fraction"] = result.rescored_fraction
    row |= ratio_metrics(batch, result) | behaviour_metrics(batch, result)
    if bool(result.signal.value_mask.any()):
        row |= value_metrics(batch, result)
    return row


def ratio_metrics(batch: RolloutBatch, result: UpdateResult) -> dict[str, Any]:
    """Current over behaviour policy, of every token when it was trained on.

    ``ratio_effective_sample_size`` is that of the ratio itself, whatever the correction made of it;
    ``effective_sample_size`` is that of the weights the loss really had.
    """
    log_ratio = result.log_probs.double() - batch.behaviour_log_probs.double()
    quantiles = ratio_quantiles(log_ratio, list(RATIO_QUANTILES.values()))
    return dict(zip(RATIO_QUANTILES, quantiles, strict=True)) | {
        "ratio_effective_sample_size": effective_sample_size(bounded_exp(log_ratio))
    }


def behaviour_metrics(batch: RolloutBatch, result: UpdateResult) -> dict[str, Any]:
    """Behaviour against proximal policy, nats per token: policy lag and engine mismatch together.

    Over the tokens whose proximal log-probs are known; ``behaviour_by_lag`` has them apart by how
    many versions older than the trainer's the weights were that sampled them.
    """
    known = result.proximal_known
    behaviour = batch.behaviour_log_probs[known].double()
    proximal = result.proximal_log_probs[known].double()
    lags = result.version - batch.token_versions[known]
    return _gap(behaviour, proximal) | {
        "behaviour_by_lag": [
            {"lag": lag, "tokens": int((lags == lag).sum()), **_gap(behaviour[lags == lag], proximal[lags == lag])}
            for lag in sorted(set(lags.tolist()))
        ]
    }


def _gap(behaviour: Tensor, trainer: Tensor) -> dict[str, float | None]:
    if behaviour.numel() == 0:
        return {"behaviour_gap": None, "behaviour_kl": None, "behaviour_kl_k1": None}
    return {
        "behaviour_gap": float((behaviour - trainer).abs().mean()),
        "behaviour_kl": mismatch_kl(behaviour, trainer),
        "behaviour_kl_k1": mismatch_kl_k1(behaviour, trainer),
    }


def value_metrics(batch: RolloutBatch, result: UpdateResult) -> dict[str, Any]:
    """The critic against Monte-Carlo returns, on the rows it learns from, before it does."""
    lengths = batch.lengths
    rows = result.signal.value_mask[lengths.cumsum(0) - 1].nonzero().flatten()
    tokens = row_token_index(lengths, rows)
    values, returns = result.values[tokens], result.signal.returns[tokens]
    lengths, groups = lengths[rows], batch.groups[rows]
    initial = initial_value_mean(values, lengths)
    outcome = float(returns[lengths.cumsum(0) - 1].double().mean())
    return {
        "explained_variance": explained_variance(values, returns),
        "explained_variance_by_decile": explained_variance_by_decile(values, returns, lengths),
        "initial_value": initial,
        "initial_value_bias": initial - outcome,
        "initial_value_correlation": initial_value_correlation(values, returns, lengths, groups),
        "value_bias": value_bias(values, returns),
        "value_bias_by_length": value_bias_by_length(values, returns, lengths),
        "advantage_by_decile": _finite(advantage_by_decile(result.signal.advantages, batch.lengths)),
    }


def pretraining_metrics(result: PretrainingResult) -> dict[str, Any]:
    """What one batch of value pretraining tells."""
    return {
        "explained_variance": result.explained_variance,
        "value_loss": result.metrics.get("value/loss"),
        "initial_value": result.metrics.get("value/initial"),
        "value_gradient_norm": result.metrics.get("value/gradient_norm"),
    }


def mismatch_metrics(mismatch: Mismatch, canary: float | None) -> dict[str, Any]:
    """The generator/trainer gap of the same weights, nats per token.

    On the batch's tokens of the trainer's own version or, where an asynchronous run has none, on a
    few rows of the version ``mismatch_lag`` versions before it, scored with that version's weights;
    and, at every version, on the fixed tokens with which generators prove a load (``canary``).
    ``behaviour_gap`` and ``behaviour_kl`` of :func:`behaviour_metrics` hold policy lag as well.
    """
    return {
        "mismatch_tokens": mismatch.tokens,
        "mismatch_magnitude": mismatch.magnitude,
        "mismatch_kl": mismatch.kl,
        "mismatch_kl_k1": mismatch.kl_k1,
        "mismatch_lag": mismatch.lag,
        "mismatch_canary": canary,
    }


def staleness_metrics(staleness: Sequence[int]) -> dict[str, Any]:
    """Age of the rollouts in rollout steps."""
    return {"staleness_mean": float(np.mean(staleness)), "staleness_max": int(np.max(staleness))}


def speed_metrics(seconds: dict[str, float], tokens: int) -> dict[str, Any]:
    """Seconds per phase, and response tokens per second of the whole step, waiting included."""
    total = sum(seconds.values())
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "step_seconds": round(total, 4),
        "tokens_per_second": tokens / total if total > 0 else None,
    }


def _finite(numbers: Sequence[float]) -> list[float | None]:
    return [number if np.isfinite(number) else None for number in numbers]
