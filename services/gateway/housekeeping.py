"""What must be done now and then: trimming old payloads, finishing evaluations."""

from __future__ import annotations

import logging
from typing import Any

from services.gateway.evaluations import Evaluations
from vapo.ledger import Ledger
from vapo.ledger.ledger import TRIM_PER_CALL
from vapo.ledger.patient_loop import PatientLoop

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5


class Housekeeping:
    """A thread that does the chores of a run."""

    def __init__(self, ledger: Ledger, evaluations: Evaluations) -> None:
        self._ledger, self._evaluations = ledger, evaluations
        self._loop = PatientLoop("housekeeping", self._round, ledger.watch.failed, "housekeeping waits")

    def start(self) -> None:
        """Begin."""
        self._loop.start()

    def stop(self) -> None:
        """End after the round in hand."""
        self._loop.stop()
        self._loop.join(10)

    def round(self) -> None:
        """Do every chore once."""
        while self._ledger.trim() >= TRIM_PER_CALL and not self._loop.stopping.is_set():
            continue
        for summary in self._evaluations.finish_due():
            _tell(summary)

    def _round(self) -> float:
        self.round()
        return INTERVAL_SECONDS


def _tell(summary: dict[str, Any]) -> None:
    name, score = summary["id"], summary.get("avg_at_k")
    if summary["failed"] or score is None:
        logger.warning(
            "evaluation %s %s: %d of %d responses failed, %d could not be judged: %s",
            name,
            summary["state"],
            summary["failed"],
            summary["responses"],
            summary["not_judged"],
            "; ".join(one["reason"] for one in summary["reasons"]),
        )
    if score is not None:
        logger.info("evaluation %s finished: avg@%d %.4f", name, summary["samples"], score)
