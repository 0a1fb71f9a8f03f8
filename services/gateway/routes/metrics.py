"""Metrics of the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.gateway.context import HOLDS_RUN, GatewayDependency
from services.gateway.course import training_course
from services.gateway.gauges import generation_work
from vapo.service import USER, require

router = APIRouter(prefix="/v1/metrics", tags=["metrics"], dependencies=[require(USER), HOLDS_RUN])


@router.get("")
def latest(gateway: GatewayDependency) -> dict[str, Any]:
    """How far training is, the newest step, totals, queue depths, failures and switches."""
    ledger = gateway.ledger
    seen = ledger.journal.newest_event()  # first: what happens meanwhile comes after it
    failed = ledger.dead_letters.list(1)
    rows = ledger.journal.metrics(last=1)
    depths = ledger.depths()
    newest = gateway.weights.newest()
    return {
        "run": gateway.settings.run.name,
        "training": training_course(gateway),
        "latest": rows[0] if rows else None,
        "counters": ledger.counters(),
        "depths": depths,
        "generation": generation_work(depths),
        "admission_capacity": gateway.settings.admission_capacity,
        "weight_version": newest.version if newest else 0,
        "newest_event": seen,
        "newest_dead_letter": asdict(failed[0]) if failed else None,
        "paused": ledger.control.paused,
        "stop_requested": ledger.control.stop_requested,
    }


@router.get("/history")
def history(
    gateway: GatewayDependency,
    after_step: int | None = None,
    last: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> dict[str, Any]:
    """Rows of training steps, oldest first."""
    rows = gateway.ledger.journal.metrics(last=last)
    return {"metrics": [row for row in rows if after_step is None or row["step"] > after_step]}
