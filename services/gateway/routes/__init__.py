"""The gateway's calls, one group a module."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.gateway.part import GatewayPart
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
from vapo.service.problem_details import problem_response

ROUTES = (prompts, datasets, rollouts, metrics, events, fleet, evaluations, dead_letters, control, chat, dashboard)

LISTS = (rollouts, metrics, events, fleet, evaluations, dead_letters)
"""Groups that select by query parameters; those that take rows know their own."""


def add_routes(app: FastAPI, part: GatewayPart) -> None:
    """All groups, over the part's :class:`~services.gateway.context.Gateway`."""
    app.state.gateway = part.gateway
    part.gateway.events.stopping = app.state.stopping
    app.add_exception_handler(RowError, _row_refused)
    for group in ROUTES:
        app.include_router(group.router, dependencies=[ONLY_KNOWN_PARAMETERS] if group in LISTS else [])


async def _row_refused(_: Any, error: Any) -> Any:
    problem = refusal([error])
    return problem_response(problem.status, problem.detail, **problem.extra)
