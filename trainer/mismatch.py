"""The gap between generator and trainer: the same weights, the same tokens, other kernels.

Policy lag and engine mismatch look alike in a ratio, so the mismatch is measured only on tokens
that were sampled under exactly the weights the trainer holds.

Invariant: no update is made before the gap has been measured once and found within the limit, as
soon as such tokens exist (after a resume the first batches may hold none).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainer.algorithm.diagnostics import mismatch_kl


class MismatchError(RuntimeError):
    """Generator and trainer disagree about the same weights; the text gives figures and causes."""


@dataclass(frozen=True)
class Mismatch:
    """The gap over tokens of the trainer's own version."""

    tokens: int
    magnitude: float | None
    """Mean |behaviour - trainer| log-prob, nats per token; None without tokens."""
    kl: float | None
    """KL(generator || trainer), nats per token; None without tokens."""


def measure_mismatch(
    behaviour_log_probs: Tensor, trainer_log_probs: Tensor, token_versions: Tensor, version: int
) -> Mismatch:
    """The gap on tokens sampled under ``version``.

    Args:
        behaviour_log_probs: float[N] from the generator.
        trainer_log_probs: float[N] from the trainer holding the weights of ``version``.
        token_versions: int64[N].
        version: the trainer's.
    """
    same = token_versions == version
    tokens = int(same.sum())
    if tokens == 0:
        return Mismatch(0, None, None)
    behaviour = behaviour_log_probs[same].double()
    trainer = trainer_log_probs[same].double()
    magnitude = float((behaviour - trainer).abs().mean())
    return Mismatch(tokens, magnitude, mismatch_kl(behaviour, trainer))


def require_agreement(mismatch: Mismatch, limit: float) -> None:
    """Refuse to train on log-probs that are not the policy's.

    Args:
        mismatch: as measured; without tokens nothing is known and nothing is refused.
        limit: largest mean |difference|, nats per token.

    Raises:
        MismatchError: the gap is above ``limit`` (or not a number).
    """
    if mismatch.magnitude is None or mismatch.magnitude <= limit:
        return
    raise MismatchError(
        f"generator and trainer differ by {mismatch.magnitude:.4g} nats per token over "
        f"{mismatch.tokens} tokens of the same weights, more than "
        f"trainer.mismatch_limit={limit:g}. Usual causes: another model or precision in the "
        "generator, a temperature or top-p the trainer does not know of, weights that were not "
        "really loaded (see /v1/weights of the generator). Only raise the limit if the cause is "
        "known and harmless.")
