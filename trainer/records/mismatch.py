"""The gap between generator and trainer: the same weights, the same tokens, other kernels.

Policy lag and engine mismatch look alike in a ratio, so the mismatch is measured only on tokens
scored with exactly the weights that sampled them: those of the trainer's own version, or else a few
rows of an older version whose weights are still at hand (``trainer.learning.snapshots``).

Invariant: no update is made before the gap has been measured once and found within the limit, as
soon as such tokens exist (after a resume the first batches may hold none).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.algorithm.diagnostics import mismatch_kl, mismatch_kl_k1
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.policy_steps import token_log_probs
from trainer.learning.snapshots import WeightSnapshots
from trainer.learning.timer import StepTimer
from trainer.learning.update import UpdateResult

logger = logging.getLogger(__name__)


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


def measure_past_mismatch(learner: Learner, batch: RolloutBatch, snapshots: WeightSnapshots) -> Mismatch:
    """The gap on at most ``trainer.mismatch_rows`` rows of the newest past version at hand; every
    rank calls this.

    Only rows sampled under one version from end to end are taken. The actor is as before when this
    returns.
    """
    for version in reversed(snapshots.versions):
        chosen = [
            number for number, row in enumerate(batch.rows) if {span.version for span in row.version_spans} == {version}
        ][: learner.trainer.mismatch_rows]
        if chosen:
            break
    else:
        return Mismatch(0, None, None)
    with snapshots.held(version, learner.policy):
        scored = token_log_probs(learner, batch, chosen)
    tokens = batch.tokens_of(chosen)
    mismatch = measure_mismatch(
        batch.behaviour_log_probs[tokens], scored[tokens], batch.token_versions[tokens], version
    )
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


class MismatchWatch:
    """Measures the gap over a run, on whatever tokens of known weights each batch has."""

    def __init__(self, learner: Learner, published_dtype: torch.dtype) -> None:
        self._learner = learner
        self._snapshots = WeightSnapshots(learner.trainer.mismatch_snapshots, published_dtype)
        self._steps_at_version: int | None = None
        self._agreed = False

    def note_version(self) -> None:
        """The actor holds just what ``learner.version`` names."""
        self._snapshots.keep(self._learner.version, self._learner.policy)
        self._steps_at_version = self._learner.policy_optimiser.steps_taken

    def require_agreement(self, batch: RolloutBatch, timer: StepTimer) -> None:
        """Once per start, on the first tokens of the weights the actor holds.

        Raises:
            MismatchError: as :func:`require_agreement`.
        """
        if self._agreed or not self._has_tokens_of_these_weights(batch):
            return
        version = self._learner.version
        with timer.measure("agreement"):
            log_probs = token_log_probs(self._learner, batch, range(len(batch)))
        mismatch = measure_mismatch(batch.behaviour_log_probs, log_probs, batch.token_versions, version)
        require_agreement(mismatch, self._learner.trainer.mismatch_limit)
        logger.info(
            "generator and trainer agree: %.3g nats per token over %d tokens of version %d",
            mismatch.magnitude,
            mismatch.tokens,
            version,
        )
        self._agreed = True

    def of_past_weights(self, batch: RolloutBatch, timer: StepTimer) -> Mismatch | None:
        """The gap on rows of weights kept; None where the batch has tokens of the actor's own."""
        if self._has_tokens_of_these_weights(batch):
            return None
        with timer.measure("mismatch"):
            return measure_past_mismatch(self._learner, batch, self._snapshots)

    def of_update(self, batch: RolloutBatch, result: UpdateResult) -> Mismatch:
        """The gap on the tokens of the weights that the update began with."""
        known = result.proximal_known
        return measure_mismatch(
            batch.behaviour_log_probs[known],
            result.proximal_log_probs[known],
            batch.token_versions[known],
            result.version,
        )

    def _has_tokens_of_these_weights(self, batch: RolloutBatch) -> bool:
        """Whether tokens were sampled from what the actor holds now, which between publications
        (``trainer.publish_every_steps``) is no version at all."""
        published = self._learner.policy_optimiser.steps_taken == self._steps_at_version
        return published and bool((batch.token_versions == self._learner.version).any())
