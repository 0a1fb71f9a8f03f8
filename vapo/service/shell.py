"""The shell all HTTP parts share: health, metrics, tokens, body limits, heartbeat, clean shutdown.

Invariants:
- ``/healthz`` says the process lives, ``/readyz`` that it can serve now (503 with the reason if
  not);
- every other path asks for a bearer token as soon as tokens are set, compared in constant time,
  but for the description of the calls (``/openapi.json``, ``/docs``), which holds no data;
- a body beyond the limit is refused while it is read, never held whole;
- SIGTERM ends the server within the grace period, and the part leaves the fleet.
"""

from __future__ import annotations

import argparse
import errno
import hmac
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import IntEnum
from types import FrameType, MappingProxyType
from typing import Annotated, Any

import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vapo import __version__
from vapo.ledger.fleet import Fleet, Member
from vapo.ledger.run_watch import RunWatch
from vapo.ledger.trouble import Kind, Trouble, explain
from vapo.option_types import path
from vapo.service.openapi_page import add_openapi_page
from vapo.service.problem_details import PROBLEM_RESPONSES, Problem, install_problem_handlers, problem_response
from vapo.settings import SecuritySettings, Settings, load_settings
from vapo.startup import StartupError, UnavailableError
from vapo.telemetry import new_registry

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5
READINESS_THREADS = 4
RETRY_SOON = {"Retry-After": "2"}
READY, UNREADY = "READY", "UNREADY"
LOOK_SECONDS = 0.25
"""How soon a change of state is told to the fleet, whatever the heartbeat's interval."""
DEFAULT_BODY_LIMIT = 16 * 2**20


class AccessScope(IntEnum):
    """Who may call: a higher scope may do all that a lower one may."""

    USER = 1
    SERVICE = 2
    ADMIN = 3


LifespanHook = Callable[[], Awaitable[None] | None]

Readiness = Callable[[], str | None]
"""None when ready, else the reason why not."""


def create_app(
    title: str,
    settings: Settings,
    readiness: Readiness,
    registry: CollectorRegistry | None = None,
    body_limit: int = DEFAULT_BODY_LIMIT,
    body_limits: Mapping[str, int] | None = None,
    on_start: LifespanHook | None = None,
    on_stop: LifespanHook | None = None,
) -> FastAPI:
    """A FastAPI app with everything but the part's own routes.

    ``on_start`` and ``on_stop`` run in the server's lifespan (worker threads start and end there);
    either may return an awaitable, which is awaited. ``body_limits`` replaces ``body_limit``, in
    bytes, for single paths. ``app.state.stopping`` is set as soon as :func:`serve` is told to stop,
    for responses that would otherwise never end.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await _called(on_start)
        try:
            yield
        finally:
            await _called(on_stop)

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


async def _called(hook: LifespanHook | None) -> None:
    done = hook() if hook else None
    if done is not None:
        await done


async def _redis_in_trouble(request: Request, error: Any) -> JSONResponse:
    return problem_response(503, explain(error), RETRY_SOON, request.url.path)


BEARER = HTTPBearer(auto_error=False, description="A token of the run's section `security`.")
"""Tells the OpenAPI page to ask for a token; :func:`require` judges it."""


def require(scope: AccessScope) -> Any:
    """Route dependency: the caller's bearer token must carry at least ``scope``."""

    # A coroutine: a plain function would need one of the pool's threads, which may all be waiting.
    async def check(request: Request, _: Annotated[Any, Depends(BEARER)]) -> None:
        allowed = allowed_tokens(request.app.state.security, scope)
        if allowed and not token_matches(request.headers.get("authorization", ""), allowed):
            raise Problem(
                401, f"a bearer token with {scope.name.lower()} scope is required", {"WWW-Authenticate": "Bearer"}
            )

    return Depends(check)


USER, SERVICE, ADMIN = AccessScope.USER, AccessScope.SERVICE, AccessScope.ADMIN


def allowed_tokens(security: SecuritySettings, scope: AccessScope) -> list[str]:
    """Tokens that open ``scope``; an empty list when no token is set (loopback only)."""
    tokens = {
        AccessScope.USER: security.user_token,
        AccessScope.SERVICE: security.service_token,
        AccessScope.ADMIN: security.admin_token,
    }
    if not any(tokens.values()):
        return []
    enough = [token for rank, token in tokens.items() if token and rank >= scope]
    return [token.get_secret_value() for token in enough] or [""]


def token_matches(header: str, allowed: Sequence[str]) -> bool:
    """Whether an Authorization header holds one of ``allowed``, in constant time."""
    scheme, _, token = header.partition(" ")
    matches = [hmac.compare_digest(token.encode(), good.encode()) for good in allowed if good]
    return scheme.lower() == "bearer" and any(matches)


def service_headers(settings: Settings) -> dict[str, str]:
    """Headers one service shows another."""
    token = settings.security.service_token
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}


class BodyLimit:
    """ASGI middleware that answers 413 as soon as a body exceeds its limit."""

    def __init__(self, app: ASGIApp, limit: int, exceptions: Mapping[str, int] = MappingProxyType({})) -> None:
        self.app, self.limit, self.exceptions = app, limit, exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.exceptions.get(scope["path"], self.limit)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await self._refuse(limit, scope["path"])(scope, receive, send)
            return
        await self._counted(limit, scope, receive, send)

    async def _counted(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # Any other exception FastAPI would answer with "error parsing the body", 400.
                raise HTTPException(413, self._detail(limit))
            return message

        await self.app(scope, counting, send)

    def _detail(self, limit: int) -> str:
        return f"the body is larger than {limit} bytes; send it in parts"

    def _refuse(self, limit: int, path: str) -> Response:
        return problem_response(413, self._detail(limit), path=path)


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


class Heartbeat:
    """Looks at the run in Redis, and keeps a part's entry in the fleet fresh, from a thread of its
    own and over the watch's own connection.
    """

    def __init__(self, watch: RunWatch, describe: Callable[[], Member], seconds: float) -> None:
        self._watch, self._describe, self._seconds = watch, describe, seconds
        self._fleet = Fleet(watch.redis, watch.keys, seconds)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Begin beating."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the fleet."""
        self._stopping.set()
        self._thread.join(timeout=self._seconds + 1)
        try:
            self._fleet.leave(self._describe().name)
        except RedisError as error:
            self._watch.failed("could not leave the fleet", error)

    def _run(self) -> None:
        while True:
            trouble, told = self._watch.look(), None
            try:
                if trouble is None or trouble.kind is not Kind.SILENT:
                    told = self._describe()
                    self._fleet.beat(_with_trouble(told, trouble))
            except RedisError as error:
                self._watch.failed("heartbeat missed", error)
            except Exception:
                # A part that cannot describe itself for once is not dead: the next beat tells.
                logger.exception("heartbeat missed")
            if self._rest(told):
                return

    def _rest(self, told: Member | None) -> bool:
        """Until the next beat: when it is due, or at once when state or version have changed.
        Returns whether to end.
        """
        due = time.monotonic() + self._seconds
        while not self._stopping.wait(min(LOOK_SECONDS, self._seconds)):
            if time.monotonic() >= due or (told is not None and self._has_changed(told)):
                return False
        return True

    def _has_changed(self, told: Member) -> bool:
        try:
            now = self._describe()
        except Exception:
            return False  # logged when the beat is due
        return (now.state, now.weight_version) != (told.state, told.weight_version)


def _with_trouble(member: Member, trouble: Trouble | None) -> Member:
    """``member`` as it is shown while Redis is in trouble."""
    if trouble is None:
        return member
    state = UNREADY if member.state == READY else member.state
    return replace(member, state=state, reason=trouble.text)


def member_name(part: str) -> str:
    """A name no other process of the fleet has."""
    return f"{part}-{socket.gethostname()[:24]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def parse_arguments(part: str, argv: Sequence[str] | None = None) -> Settings:
    """The command line of every part: ``--config FILE`` and ``--set section.key=value``.

    Raises:
        SettingsError: they are refused.
        SystemExit: status 2, wrong arguments.
    """
    parser = argparse.ArgumentParser(prog=part, description=f"vapo {part}")
    parser.add_argument("--config", type=path, help="settings file (TOML or JSON); see `vapo config`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one setting; may be repeated"
    )
    arguments = parser.parse_args(argv)
    return load_settings(arguments.config, arguments.set)


def bind(host: str, port: int) -> socket.socket:
    """A listening-ready socket, so that port 0 is known before the server starts.

    Raises:
        UnavailableError: the port is taken.
        StartupError: the address is not this machine's, or not for this user.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error) from None
    return listener


def _not_bound(host: str, port: int, error: OSError) -> StartupError:
    what = f"cannot bind {host}:{port}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return UnavailableError(f"{what}; choose another port or stop what uses it")
    return StartupError(f"{what}; choose an address of this machine and a port from 1024 on")


def bound_url(listener: socket.socket, advertise_host: str | None = None) -> str:
    """URL others reach this listener at: under ``network.advertise_host`` where that is set."""
    host, port = listener.getsockname()[:2]
    if advertise_host is not None:
        host = advertise_host
    elif host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then shut down within the grace period."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE_SECONDS
    )
    StoppingServer(config, app.state.stopping).run(sockets=[listener])


class StoppingServer(uvicorn.Server):
    """Ends on a signal, and the process goes on to its own end.

    Endless responses (event streams) are told before the server waits for them. The signal is not
    raised again afterwards, as uvicorn would: that would end the process before it has left the
    fleet.
    """

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came; the second Ctrl-C does not wait for open responses."""
        self._stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
