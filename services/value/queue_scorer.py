"""The queue side of the value service: rollouts from verified to scored.

Invariants:
- all values of a rollout come from one critic version, which is recorded with them;
- a response that ended by itself has no value after its last token: it is recorded as 0;
- a rollout that the model cannot read is buried with the reason; a failing critic leaves the batch
  leased, to be scored again.
"""

from __future__ import annotations

import threading

from services.value.calibration import Calibration
from services.value.replica import UnfitTokens
from services.value.scorer import Scored, Scorer
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.stage_worker import StageWorker, Work
from vapo.messages import Floats, Rollout, Values
from vapo.model.packing import TokenSequence

BATCH_ROLLOUTS = 64
SCORE_SECONDS = 120.0
"""Deadline of one batch."""
JOIN_SECONDS = 3.0


class QueueScorer:
    """A thread that feeds the scorer from the ledger."""

    def __init__(
        self, scorer: Scorer, ledger: Ledger, name: str, calibration: Calibration, may_start: threading.Event
    ) -> None:
        """``may_start`` is set once the newest critic is in use."""
        self._scorer, self._ledger, self._calibration = scorer, ledger, calibration
        self._stage = StageWorker(ledger, Stage.VERIFIED, name, self.score, BATCH_ROLLOUTS, may_start)

    def start(self) -> None:
        """Begin to lease."""
        self._stage.start()

    def stop(self) -> None:
        """Finish the batch in hand."""
        self._stage.stop()
        self._stage.join(JOIN_SECONDS)

    def score(self, work: Work) -> None:
        """Score a batch and record the values of each of its rollouts."""
        fit = [(lease, rollout) for lease, rollout in work if self._accept(lease, rollout)]
        if not fit:
            return
        sequences = [sequence_of(rollout) for _, rollout in fit]
        scored: Scored = self._scorer.submit(sequences).result(timeout=SCORE_SECONDS)
        self._ledger.record_values(
            [
                (lease, Values(_without_end(rollout, values), scored.critic_version))
                for (lease, rollout), values in zip(fit, scored.values, strict=True)
            ]
        )
        for (_, rollout), values in zip(fit, scored.values, strict=True):
            if rollout.verdict is not None and rollout.verdict.reward is not None:
                self._calibration.add(values[:-1], rollout.verdict.reward)

    def _accept(self, lease: Lease, rollout: Rollout) -> bool:
        try:
            self._scorer.check(sequence_of(rollout))
        except UnfitTokens as error:
            self._ledger.bury(lease, f"the critic cannot read it: {error}")
            return False
        return True


def sequence_of(rollout: Rollout) -> TokenSequence:
    """Token ids of a rollout's prompt and response."""
    return TokenSequence(rollout.task.prompt_token_ids, rollout.generated.token_ids)


def _without_end(rollout: Rollout, values: Floats) -> Floats:
    if rollout.generated.finish_reason != "stop":
        return values
    recorded = values.copy()
    recorded[-1] = 0.0
    return recorded
