"""How far the run is, as people ask: phase, step of how many, time left, how training ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.context import Gateway
from vapo.ledger.pace import ROWS, seconds_left

ENDED = ("finished", "asked to stop", "failed")


def training_course(gateway: Gateway) -> dict[str, Any]:
    """State, phase of the living trainer, step, last step, seconds left, reason of a failure."""
    journal, fleet = gateway.ledger.journal, gateway.ledger.fleet
    said = journal.course() or {"state": "not started"}
    rows = journal.metrics(last=ROWS)
    alive = fleet.alive("trainer")
    details = alive[0].details if alive else {}
    return course(said, rows, details, gateway.settings.trainer.max_steps)


def course(
    said: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], details: Mapping[str, Any], max_steps: int
) -> dict[str, Any]:
    """The same of what is known.

    Args:
        said: the trainer's last word (`Journal.course`).
        rows: the newest metrics rows.
        details: what the living trainer's heartbeat carries; empty when none lives.
        max_steps: by the gateway's settings, for a trainer that has not said its own.
    """
    most = said.get("max_steps") or max_steps
    step = rows[-1]["step"] if rows else said.get("step") or 0
    return {
        "state": said["state"],
        "phase": details.get("phase"),
        "step": step,
        "max_steps": most,
        "pretraining_step": details.get("pretraining_step"),
        "seconds_left": None if said["state"] in ENDED else seconds_left(rows, most),
        "reason": said.get("reason"),
    }
