"""Rank 0's HTTP side: what the trainer is doing, pause, resume, checkpoint, and published weights.

Invariant: HTTP threads only read the status and leave requests; the loop alone touches models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from trainer.records.status import Requests, Status
from vapo.service import ADMIN, USER, create_app, require
from vapo.settings import Settings
from vapo.telemetry import MappingCollector, new_registry
from vapo.weights.file_response import ServedBytes
from vapo.weights.serving import weights_router


def build_app(
    settings: Settings, requests: Requests, status: Status, redis_trouble: Callable[[], str | None] = lambda: None
) -> FastAPI:
    """The HTTP app of the trainer; ``redis_trouble`` says what Redis has against the run."""
    registry = new_registry()
    registry.register(MappingCollector("vapo_trainer", "Trainer", lambda: flat_numbers(status)))
    app = create_app("trainer", settings, lambda: unready_reason(status) or redis_trouble(), registry)
    app.include_router(_routes(requests, status))
    if settings.weights.transport == "http":
        _serve_weights(app, settings, registry)
    return app


def _serve_weights(app: FastAPI, settings: Settings, registry: CollectorRegistry) -> None:
    served = ServedBytes()
    registry.register(
        MappingCollector("vapo_weights", "Weights served over HTTP", lambda: {"bytes_served": served.total})
    )
    app.include_router(
        weights_router(settings.run.weights_directory, settings.weights.serve_limit_bytes_per_second, served)
    )


def _routes(requests: Requests, status: Status) -> APIRouter:
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


def unready_reason(status: Status) -> str | None:
    """Why the trainer is not in its loop; None when it is."""
    phase = status.snapshot()["phase"]
    return f"the trainer is {phase}" if phase in ("starting", "stopped", "failed") else None


def flat_numbers(status: Status) -> dict[str, float]:
    """All numbers of the status and of the last metrics row, for Prometheus."""
    fields = status.snapshot()
    metrics = fields.pop("metrics", None) or {}
    phases = {f"{name}_seconds": seconds for name, seconds in metrics.get("seconds", {}).items()}
    return {
        name: float(value) for name, value in (fields | metrics | phases).items() if isinstance(value, (int, float))
    }
