"""The shell of an HTTP part: app, tokens, problem documents, heartbeat, server."""

from __future__ import annotations

from vapo.service.shell import (
    ADMIN,
    GRACE_SECONDS,
    SERVICE,
    USER,
    Heartbeat,
    Readiness,
    bind,
    bound_url,
    create_app,
    member_name,
    parse_arguments,
    require,
    serve,
    service_headers,
)

__all__ = [
    "ADMIN",
    "GRACE_SECONDS",
    "SERVICE",
    "USER",
    "Heartbeat",
    "Readiness",
    "bind",
    "bound_url",
    "create_app",
    "member_name",
    "parse_arguments",
    "require",
    "serve",
    "service_headers",
]
