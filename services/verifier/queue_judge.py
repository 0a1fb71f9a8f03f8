"""The queue side of the verifier: rollouts from generated to verified.

Invariants:
- the cheap verdicts of a batch are recorded first, together; each other as soon as it is known;
- a rollout whose task names an unknown verifier is buried with that reason;
- a failure of the pool leaves the rollout leased, to be judged again: it is never a verdict.
"""

from __future__ import annotations

import logging

from services.verifier.registry import UnknownVerifier
from services.verifier.service import VerifierService
from vapo.ledger import Ledger, Stage
from vapo.ledger.stage_worker import StageWorker, Work
from vapo.messages import Rollout

BATCH_ROLLOUTS = 16
"""Small, so that one slow judgement holds up few others."""
JOIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


class QueueJudge:
    """Threads that feed the verifier from the ledger.

    There is one more of them than worker processes: while each process is busy with a slow
    judgement, one thread still serves those that need none.
    """

    def __init__(self, service: VerifierService, ledger: Ledger, name: str, processes: int) -> None:
        self._service, self._ledger = service, ledger
        self._stages = [
            StageWorker(ledger, Stage.GENERATED, f"{name}-{k}", self.verify, BATCH_ROLLOUTS)
            for k in range(processes + 1)
        ]

    def start(self) -> None:
        """Begin to lease."""
        for stage in self._stages:
            stage.start()

    def stop(self) -> None:
        """Lease nothing more, and give the batches in hand a moment to end."""
        for stage in self._stages:
            stage.stop()
        self.join()

    def join(self) -> None:
        """Wait for the batches in hand; after the pool was closed, for those that it held up."""
        for stage in self._stages:
            stage.join(JOIN_SECONDS)

    def verify(self, work: Work) -> None:
        """Judge a batch and record each verdict. Raises PoolError when a judgement must wait."""
        cheap, careful = [], []
        for lease, rollout in work:
            try:
                verdict = self._service.judge_cheaply(*_judged_fields(rollout))
            except UnknownVerifier as error:
                self._ledger.bury(lease, str(error))
                continue
            if verdict is None:
                careful.append((lease, rollout))
            else:
                cheap.append((lease, rollout, verdict))
        self._ledger.record_verdicts(cheap)
        for lease, rollout in careful:
            verdict = self._service.judge_carefully(*_judged_fields(rollout))
            self._ledger.record_verdicts([(lease, rollout, verdict)])


def _judged_fields(rollout: Rollout) -> tuple[str, str, str]:
    return rollout.task.verifier, rollout.generated.text, rollout.task.answer
