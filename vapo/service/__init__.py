"""The shell of an HTTP part: the part itself, its process, app, tokens, problem documents, server."""

from __future__ import annotations

from vapo.service.app import create_app
from vapo.service.heartbeat import Heartbeat
from vapo.service.part import Endpoint, Part, app_of
from vapo.service.process import main, parse_arguments, serve_part, take_endpoint
from vapo.service.server import BackgroundServer, bind, bound_url, serve
from vapo.service.tokens import ADMIN, SERVICE, USER, require, service_headers

__all__ = [
    "ADMIN",
    "SERVICE",
    "USER",
    "BackgroundServer",
    "Endpoint",
    "Heartbeat",
    "Part",
    "app_of",
    "bind",
    "bound_url",
    "create_app",
    "main",
    "parse_arguments",
    "require",
    "serve",
    "serve_part",
    "service_headers",
    "take_endpoint",
]
