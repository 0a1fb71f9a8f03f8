"""The app that all HTTP parts share: health, metrics, the description of the calls, errors.

Invariants:
- ``/healthz`` says the process lives, ``/readyz`` that it can serve now (503 with the reason if
  not);
- every other path asks for a bearer token as soon as tokens are set, but for the description of the
  calls (``/openapi.json``, ``/docs``), which holds no data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis.exceptions import RedisError
from starlette.types import Lifespan

from vapo import __version__
from vapo.ledger.trouble import explain
from vapo.service.body_limit import BodyLimit
from vapo.service.openapi_page import add_openapi_page
from vapo.service.problem_details import PROBLEM_RESPONSES, Problem, install_problem_handlers, problem_response
from vapo.service.tokens import USER, require
from vapo.settings import Settings
from vapo.telemetry import new_registry

READINESS_THREADS = 4
RETRY_SOON = {"Retry-After": "2"}
DEFAULT_BODY_LIMIT = 16 * 2**20

Readiness = Callable[[], str | None]
"""None when ready, else the reason why not."""


def create_app(
    title: str,
    settings: Settings,
    readiness: Readiness,
    registry: CollectorRegistry | None = None,
    body_limit: int = DEFAULT_BODY_LIMIT,
    body_limits: Mapping[str, int] | None = None,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """A FastAPI app with everything but the part's own routes.

    In ``lifespan`` the part's work starts and ends. ``body_limits`` replaces ``body_limit``, in bytes,
    for single paths. ``app.state.stopping`` is set as soon as :func:`serve` is told to stop, for
    responses that would otherwise never end.
    """
    app = FastAPI(
        title=f"vapo {title}",
        version=__version__,
        lifespan=lifespan,
        responses=PROBLEM_RESPONSES,
        docs_url=None,
        redoc_url=None,
    )
    app.state.security = settings.security
    app.state.stopping = threading.Event()
    app.add_middleware(BodyLimit, limit=body_limit, exceptions=body_limits or {})
    install_problem_handlers(app)
    app.add_exception_handler(RedisError, _redis_in_trouble)
    _add_health(app, readiness, registry or new_registry())
    add_openapi_page(app)
    return app


async def _redis_in_trouble(request: Request, error: Any) -> JSONResponse:
    return problem_response(503, explain(error), RETRY_SOON, request.url.path)


def _add_health(app: FastAPI, readiness: Readiness, registry: CollectorRegistry) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """The process lives."""
        # A coroutine: while Redis is silent every thread of the pool waits for it, and a part that
        # seems dead then would be killed for nothing.
        return {"status": "ok", "version": __version__}

    # Threads of its own: those of the pool may all be waiting for Redis.
    threads = CapacityLimiter(READINESS_THREADS)

    @app.get("/readyz", tags=["health"])
    async def readyz() -> dict[str, str]:
        """The part can serve now; 503 with the reason otherwise."""
        try:
            reason = await to_thread.run_sync(readiness, limiter=threads)
        except RedisError as error:
            reason = explain(error)
        if reason:
            raise Problem(503, reason, RETRY_SOON)
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"], dependencies=[require(USER)], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Prometheus text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
