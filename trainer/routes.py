"""Rank 0's calls: what the trainer is doing, pause, resume, checkpoint, and published weights."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from trainer.part import TrainerPart
from trainer.records.status import Requests, Status
from vapo.service import ADMIN, USER, require
from vapo.settings import Settings
from vapo.settings.transports import TRANSPORTS
from vapo.telemetry import MappingCollector
from vapo.weights.file_response import ServedBytes
from vapo.weights.serving import weights_router


def add_routes(app: FastAPI, part: TrainerPart) -> None:
    """Control of the run; with ``weights.transport=http`` its weights too."""
    app.include_router(_control(part.requests, part.status))
    if TRANSPORTS[part.settings.weights.transport].is_served:
        _serve_weights(app, part.settings, part.metrics)


def _serve_weights(app: FastAPI, settings: Settings, registry: CollectorRegistry) -> None:
    served = ServedBytes()
    registry.register(
        MappingCollector("vapo_weights", "Weights served over HTTP", lambda: {"bytes_served": served.total})
    )
    app.include_router(
        weights_router(settings.run.weights_directory, settings.weights.serve_limit_bytes_per_second, served)
    )


def _control(requests: Requests, status: Status) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["training"])

    @router.get("/status", dependencies=[require(USER)])
    def read_status() -> dict[str, Any]:
        """Phase, step, versions, last checkpoint and last metrics."""
        return {**status.snapshot(), "paused": requests.paused, "stopping": requests.stopping}

    @router.post("/checkpoint", status_code=202, dependencies=[require(ADMIN)])
    def checkpoint() -> dict[str, Any]:
        """Write a checkpoint after the step in hand; `checkpoint_step` of the status tells when."""
        requests.checkpoint()
        return {"requested": True, "last": status.snapshot().get("checkpoint")}

    @router.post("/pause", status_code=202, dependencies=[require(ADMIN)])
    def pause() -> dict[str, bool]:
        """Hold after the step in hand."""
        requests.pause()
        return {"paused": True}

    @router.post("/resume", status_code=202, dependencies=[require(ADMIN)])
    def resume() -> dict[str, bool]:
        """Go on."""
        requests.resume()
        return {"paused": False}

    return router
