"""A part as a process: how each is started, and how it ends.

Invariants:
- settings are read, and the part's packages looked for, before anything of the part is imported;
  what is wrong with them is one line (`vapo.startup`);
- the port is taken before anything that lasts is begun.
"""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Callable, Sequence

from vapo.installation import check_installed
from vapo.ledger.connection import trouble_at, wait_for_redis
from vapo.service.part import AddRoutes, AnyPart, Endpoint, app_of
from vapo.service.server import bind, serve
from vapo.settings import Settings, load_settings
from vapo.settings.options import add_config_and_set
from vapo.startup import exit_status_of
from vapo.telemetry import configure_logging

logger = logging.getLogger(__name__)


def main(program: str, work: Callable[[Settings], int], argv: Sequence[str] | None = None) -> int:
    """Run ``work`` with the settings of the command line.

    Args:
        program: the module that is run, such as ``services.value``; its last word names the part.
        work: returns the exit status; imports the part.

    Returns:
        The exit status (`vapo.startup`).
    """

    def checked() -> int:
        settings = parse_arguments(program, argv)
        check_installed([program.rpartition(".")[2]])
        return work(settings)

    configure_logging()
    return exit_status_of(program, checked)


def parse_arguments(part: str, argv: Sequence[str] | None = None) -> Settings:
    """The settings that the command line of a part names, ``--config`` and ``--set``.

    Raises:
        SettingsError: they are refused.
        SystemExit: status 2, wrong arguments.
    """
    parser = argparse.ArgumentParser(prog=part, description=f"vapo {part}")
    add_config_and_set(parser)
    arguments = parser.parse_args(argv)
    return load_settings(arguments.config, arguments.set)


def serve_part(
    name: str,
    settings: Settings,
    build: Callable[[Endpoint], AnyPart],
    add_routes: AddRoutes[AnyPart],
    needs_redis: bool = True,
) -> int:
    """Build a part and serve it until SIGTERM or SIGINT.

    Args:
        needs_redis: wait for Redis before the part is built, and end without one; else only tell
            that it is away: ``/readyz`` says so too.

    Returns:
        The exit status.

    Raises:
        StartupError: it cannot be served as it is configured, or not now.
    """
    listener, endpoint = take_endpoint(name, settings)
    if needs_redis:
        wait_for_redis(settings.redis)
    elif trouble := trouble_at(settings.redis):
        logger.warning("redis.url=%s: %s; it is asked again when needed", settings.redis.url, trouble.text)
    part = build(endpoint)
    serve(app_of(part, add_routes), listener)
    return part.exit_status()


def take_endpoint(name: str, settings: Settings) -> tuple[socket.socket, Endpoint]:
    """The socket and the endpoint of the part that the section ``name`` of the settings describes.

    Raises:
        StartupError: its address cannot be had.
    """
    section = getattr(settings, name)
    listener = bind(section.host, section.port)
    return listener, Endpoint.at(listener, name, settings)
