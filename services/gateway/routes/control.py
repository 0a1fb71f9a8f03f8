"""Switches of the run: pause, resume, checkpoint, stop."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import APIRouter, Request

from services.gateway.context import HOLDS_RUN, Gateway, GatewayDependency
from vapo.service import ADMIN, require
from vapo.service.http_clients import http_client
from vapo.service.problem_details import Problem

router = APIRouter(prefix="/v1/control", tags=["control"], dependencies=[require(ADMIN), HOLDS_RUN])

DEADLINE_SECONDS = 30.0


@router.post("/pause")
def pause(gateway: GatewayDependency) -> dict[str, Any]:
    """Admit no more training tasks; what is admitted is finished."""
    gateway.ledger.control.pause()
    return _told(gateway, "paused")


@router.post("/resume")
def resume(gateway: GatewayDependency) -> dict[str, Any]:
    """Go on after a pause; forget a stop, so that a trainer started again trains."""
    gateway.ledger.control.resume()
    gateway.ledger.control.clear_stop()
    return _told(gateway, "resumed")


@router.post("/stop")
def stop(gateway: GatewayDependency) -> dict[str, Any]:
    """Ask the trainer to write a checkpoint and end the run."""
    gateway.ledger.control.stop()
    return _told(gateway, "stopping")


@router.post("/checkpoint", status_code=202)
def checkpoint(gateway: GatewayDependency, request: Request) -> Any:
    """Have the trainer write a checkpoint after the step in hand; an event tells when it done."""
    url = _trainer_url(gateway)
    caller = {name: value for name, value in request.headers.items() if name == "authorization"}
    try:
        with http_client(headers=caller, timeout=DEADLINE_SECONDS) as client:
            reply = client.post(f"{url}/v1/checkpoint")
    except httpx.HTTPError as error:
        raise Problem(502, f"the trainer at {url} does not answer: {error!r}") from None
    if reply.is_error:
        raise Problem(502, f"the trainer at {url} answered {reply.status_code}: {reply.text[:500]}")
    return reply.json()


def _told(gateway: Gateway, action: str) -> dict[str, Any]:
    gateway.ledger.journal.tell("control", {"action": action})
    return {"run": gateway.settings.run.name, "state": action}


def _trainer_url(gateway: Gateway) -> str:
    if gateway.settings.gateway.trainer_url:
        return gateway.settings.gateway.trainer_url.rstrip("/")
    alive = gateway.ledger.fleet.alive("trainer")
    if not alive:
        raise Problem(503, "no trainer is alive; GET /v1/fleet shows the parts", {"Retry-After": "5"})
    return alive[0].url
