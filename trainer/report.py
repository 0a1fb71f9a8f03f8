"""The metrics row of one rollout step, under the names people and dashboards read.

Invariants: plain JSON values; None where a figure does not exist (no positives, all returns equal);
times in seconds, lengths in tokens, log-probs and entropy in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.algorithm.diagnostics import (
    advantage_by_decile,
    explained_variance,
    initial_value_mean,
    ratio_quantiles,
)
from trainer.batch import Batch
from trainer.mismatch import Mismatch
from trainer.update import UpdateResult
from trainer.value_pretraining import PretrainingResult

UPDATE_NAMES = {
    "policy/loss": "policy_loss",
    "policy/positive_example_loss": "positive_nll",
    "policy/entropy": "entropy",
    "policy/clip_fraction_up": "clip_fraction_up",
    "policy/clip_fraction_down": "clip_fraction_down",
    "policy/effective_sample_size": "effective_sample_size",
    "policy/correction_weight": "correction_weight",
    "policy/correction_dropped_fraction": "correction_dropped_fraction",
    "policy/kl_from_behaviour": "kl_from_behaviour",
    "policy/mismatch_kl": "behaviour_kl",
    "policy/mismatch_magnitude": "behaviour_gap",
    "policy/advantage": "advantage",
    "policy/advantage_magnitude": "advantage_magnitude",
    "policy/gradient_norm": "policy_gradient_norm",
    "value/loss": "value_loss",
    "value/gradient_norm": "value_gradient_norm",
}
RATIO_QUANTILES = {"ratio_min": 0.0, "ratio_p01": 0.01, "ratio_p50": 0.5, "ratio_p99": 0.99,
                   "ratio_max": 1.0}


def batch_row(batch: Batch) -> dict[str, Any]:
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


def update_row(batch: Batch, result: UpdateResult) -> dict[str, Any]:
    """What one update of actor and critic tells."""
    log_ratio = result.log_probs.double() - batch.behaviour_log_probs.double()
    quantiles = ratio_quantiles(log_ratio, list(RATIO_QUANTILES.values()))
    row: dict[str, Any] = {short: result.metrics.get(name) for name, short in UPDATE_NAMES.items()}
    row |= dict(zip(RATIO_QUANTILES, quantiles, strict=True))
    row["rescored_fraction"] = result.rescored_fraction
    if bool(result.advantages.value_mask.any()):
        row["explained_variance"] = explained_variance(result.values, result.advantages.returns)
        row["initial_value"] = initial_value_mean(result.values, batch.lengths)
        row["advantage_by_decile"] = _finite(
            advantage_by_decile(result.advantages.advantages, batch.lengths))
    return row


def pretraining_row(result: PretrainingResult) -> dict[str, Any]:
    """What one batch of value pretraining tells."""
    return {"explained_variance": result.explained_variance,
            "value_loss": result.metrics.get("value/loss"),
            "initial_value": result.metrics.get("value/initial"),
            "value_gradient_norm": result.metrics.get("value/gradient_norm")}


def mismatch_row(mismatch: Mismatch, canary: float | None) -> dict[str, Any]:
    """The generator/trainer gap of the same weights, nats per token.

    On the batch's tokens of the trainer's own version, of which an asynchronous run often has none;
    and, at every version, on the fixed tokens with which generators prove a load (``canary``).
    ``behaviour_gap`` and ``behaviour_kl`` of :func:`update_row` hold policy lag as well.
    """
    return {"mismatch_tokens": mismatch.tokens, "mismatch_magnitude": mismatch.magnitude,
            "mismatch_kl": mismatch.kl, "mismatch_canary": canary}


def staleness_row(staleness: Sequence[int]) -> dict[str, Any]:
    """Age of the rollouts in rollout steps."""
    return {"staleness_mean": float(np.mean(staleness)), "staleness_max": int(np.max(staleness))}


def time_row(seconds: dict[str, float], tokens: int) -> dict[str, Any]:
    """Seconds per phase, and response tokens per second of the whole step, waiting included."""
    total = sum(seconds.values())
    return {"seconds": {name: round(value, 4) for name, value in seconds.items()},
            "step_seconds": round(total, 4),
            "tokens_per_second": tokens / total if total > 0 else None}


def _finite(numbers: Sequence[float]) -> list[float | None]:
    return [number if np.isfinite(number) else None for number in numbers]
