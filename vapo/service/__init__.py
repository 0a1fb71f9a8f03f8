"""The shell of an HTTP part: app, tokens, problem documents, heartbeat, server."""

from __future__ import annotations

from vapo.service.app import Readiness, create_app
from vapo.service.arguments import parse_arguments
from vapo.service.heartbeat import Heartbeat, member_name
from vapo.service.server import BackgroundServer, bind, bound_url, serve
from vapo.service.tokens import ADMIN, SERVICE, USER, require, service_headers

__all__ = [
    "ADMIN",
    "SERVICE",
    "USER",
    "BackgroundServer",
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
