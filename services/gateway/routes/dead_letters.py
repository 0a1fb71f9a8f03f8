"""Dead letters: what failed for good, why, and its way back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.gateway.context import HOLDS_RUN, GatewayDependency
from vapo.ledger.dead_letters import PayloadGone
from vapo.ledger.entry_ids import is_entry_id
from vapo.service import ADMIN, USER, require
from vapo.service.problem_details import Problem

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


@router.get("", dependencies=[require(USER), HOLDS_RUN])
def list_newest(gateway: GatewayDependency, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The newest dead letters with their reasons."""
    letters = gateway.ledger.dead_letters.list(limit)
    return {"dead_letters": [asdict(letter) for letter in letters]}


@router.post("/{entry}/requeue", dependencies=[require(ADMIN), HOLDS_RUN])
def requeue(gateway: GatewayDependency, entry: str) -> dict[str, Any]:
    """Put a dead letter back into the queue it died in."""
    try:
        known = is_entry_id(entry) and gateway.ledger.dead_letters.revive(entry)
    except PayloadGone as error:
        raise Problem(409, str(error)) from None
    if not known:
        raise Problem(404, f"no dead letter {entry!r}; GET /v1/dead-letters lists them")
    return {"requeued": entry}
