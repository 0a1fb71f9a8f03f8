"""Rank 0 as a part: what it tells of the loop, which runs in the main thread.

Invariant: HTTP threads only read the status and leave requests; the loop alone touches models.
"""

from __future__ import annotations

from typing import Any

from trainer.records.status import Requests, Status
from vapo.ledger.fleet import Member
from vapo.ledger.run_watch import RunWatch
from vapo.service import Endpoint, Part
from vapo.settings import Settings

SHOWN_IN_FLEET = ("phase", "step", "max_steps", "pretraining_step")


class TrainerPart(Part):
    """The trainer's status, and what is asked of it. Nothing starts or ends with the HTTP app: the
    process does that around it (:mod:`trainer.process`).
    """

    def __init__(
        self, settings: Settings, endpoint: Endpoint, watch: RunWatch, requests: Requests, status: Status
    ) -> None:
        super().__init__(settings, endpoint, watch)
        self.requests, self.status = requests, status

    def unready_reason(self) -> str | None:
        """Why the trainer is not in its loop, or what Redis has against the run."""
        phase = self.status.snapshot()["phase"]
        if phase in ("starting", "stopped", "failed"):
            return f"the trainer is {phase}"
        return self.watch.reason()

    def member(self) -> Member:
        """Its phase and step, at the version it has published."""
        fields = self.status.snapshot()
        details: dict[str, Any] = {name: fields[name] for name in SHOWN_IN_FLEET if name in fields}
        return self.endpoint.member("STALE" if fields["phase"] == "starting" else "READY", fields["version"], details)

    def numbers(self) -> dict[str, float]:
        """All numbers of the status and of the last metrics row."""
        fields = self.status.snapshot()
        metrics = fields.pop("metrics", None) or {}
        phases = {f"{name}_seconds": seconds for name, seconds in metrics.get("seconds", {}).items()}
        return {
            name: float(value) for name, value in (fields | metrics | phases).items() if isinstance(value, (int, float))
        }
