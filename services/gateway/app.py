"""The gateway's HTTP app."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.gateway.context import Gateway
from services.gateway.gauges import gateway_registry
from services.gateway.routes import (
    chat,
    control,
    dashboard,
    datasets,
    dead_letters,
    evaluations,
    events,
    fleet,
    metrics,
    prompts,
    rollouts,
)
from services.gateway.routes.query_parameters import ONLY_KNOWN_PARAMETERS
from services.gateway.rows.all_or_none import refusal
from vapo.data_files.errors import RowError
from vapo.service import create_app
from vapo.service.problem_details import problem_response

ROUTES = (prompts, datasets, rollouts, metrics, events, fleet, evaluations, dead_letters, control, chat, dashboard)

LISTS = (rollouts, metrics, events, fleet, evaluations, dead_letters)
"""Routes that select by query parameters; those that take rows know their own."""


def gateway_app(gateway: Gateway) -> FastAPI:
    """The app of ``gateway``; its threads run while the app serves."""
    limits = gateway.settings.gateway
    app = create_app(
        "gateway",
        gateway.settings,
        gateway.ledger.watch.reason,
        gateway_registry(gateway.ledger),
        limits.max_body_bytes,
        dict.fromkeys(("/v1/datasets", "/v1/datasets/check"), limits.max_dataset_bytes),
        gateway.start,
        gateway.stop,
    )
    app.state.gateway = gateway
    gateway.events.stopping = app.state.stopping
    app.add_exception_handler(RowError, _row_refused)
    for group in ROUTES:
        strict = [ONLY_KNOWN_PARAMETERS] if group in LISTS else []
        app.include_router(group.router, dependencies=strict)
    return app


async def _row_refused(_: Any, error: Any) -> Any:
    problem = refusal([error])
    return problem_response(problem.status, problem.detail, **problem.extra)
