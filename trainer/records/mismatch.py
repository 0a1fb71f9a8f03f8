"""The gap between generator and trainer: the same weights, the same tokens, other kernels.

Policy lag and engine mismatch look alike in a ratio, so the mismatch is measured only on tokens
scored with exactly the weights that sampled them: those of the trainer's own version, or else a few
rows of an older version whose weights are still at hand (``trainer.learning.snapshots``).

Invariant: no update is made before the gap has been measured once and found within the limit, as
soon as such tokens exist (after a resume the first batches may hold none).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.algorithm.diagnostics import mismatch_kl, mismatch_kl_k1
from trainer.algorithm.ragged import row_token_index
from trainer.learning.batch import Batch
from trainer.learning.forward import Packing, token_log_probs
from trainer.learning.snapshots import WeightSnapshots
from trainer.learning.update import Learner
from trainer.ranks.parallel import Ranks


class MismatchError(RuntimeError):
    """Generator and trainer disagree about the same weights; the text gives figures and causes."""


@dataclass(frozen=True)
class Mismatch:
    """The gap over tokens of the trainer's own version."""

    tokens: int
    magnitude: float | None
    """Mean |behaviour - trainer| log-prob, nats per token; None without tokens."""
    kl: float | None
    """KL(generator || trainer), nats per token, estimator k3; None without tokens."""
    kl_k1: float | None = None
    """The same by estimator k1; None without tokens."""
    lag: int | None = None
    """How many versions older than the trainer's the weights were; None without tokens."""


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
    return Mismatch(tokens, magnitude, mismatch_kl(behaviour, trainer), mismatch_kl_k1(behaviour, trainer), lag=0)


def measure_past_mismatch(
    learner: Learner, batch: Batch, snapshots: WeightSnapshots, rows: int, packing: Packing, ranks: Ranks
) -> Mismatch:
    """The gap on at most ``rows`` rows of the newest past version at hand; every rank calls this.

    Only rows sampled under one version from end to end are taken. The actor is as before when this
    returns.
    """
    for version in reversed(snapshots.versions):
        chosen = [
            number for number, row in enumerate(batch.rows) if {span.version for span in row.version_spans} == {version}
        ][:rows]
        if chosen:
            break
    else:
        return Mismatch(0, None, None)
    with snapshots.held(version, learner.policy):
        scored = token_log_probs(learner.policy, batch, chosen, packing, ranks)
    index = row_token_index(batch.lengths, torch.tensor(chosen, device=batch.device))
    mismatch = measure_mismatch(batch.behaviour_log_probs[index], scored[index], batch.token_versions[index], version)
    return replace(mismatch, lag=learner.version - version)


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
        "known and harmless."
    )
