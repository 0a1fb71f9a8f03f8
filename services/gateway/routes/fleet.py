"""The fleet and the weight versions it serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from services.gateway.context import GatewayDependency
from vapo.service import USER, require

router = APIRouter(tags=["fleet"], dependencies=[require(USER)])


@router.get("/v1/fleet")
def fleet(gateway: GatewayDependency) -> dict[str, Any]:
    """All parts; DEAD when three heartbeats are missing, until another has taken the place or ten
    minutes have passed. `reason` says what keeps one from working.
    """
    now = gateway.ledger.fleet.now()
    return {
        "members": [
            {**asdict(member), "seconds_since_heartbeat": round(now - member.seen_at, 3)}
            for member in gateway.ledger.fleet.members()
        ]
    }


@router.get("/v1/weights")
def weights(gateway: GatewayDependency) -> dict[str, Any]:
    """The newest published version, and which part has loaded which."""
    newest = gateway.weights.newest()
    members = [member for member in gateway.ledger.fleet.members() if member.weight_version is not None]
    return {
        "newest_version": newest.version if newest else 0,
        "step": newest.step if newest else 0,
        "members": [
            {"name": member.name, "part": member.part, "state": member.state, "weight_version": member.weight_version}
            for member in members
        ],
    }
