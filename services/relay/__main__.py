"""``python -P -m services.relay --config FILE [--set section.key=value]`` (or ``vapo relay``)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from services.relay.app import build_app
from services.relay.runtime import Runtime
from vapo.ledger.connection import trouble_at
from vapo.service import bind, bound_url, parse_arguments, serve
from vapo.settings import Settings, SettingsError
from vapo.startup import check_writable, run_part
from vapo.telemetry import configure_logging

logger = logging.getLogger("services.relay")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit status (`vapo.startup`)."""
    configure_logging()
    return run_part("services.relay", lambda: run(parse_arguments("services.relay", argv)))


def run(settings: Settings) -> int:
    """Serve with ``settings``; a Redis that is away is no reason to end, ``/readyz`` tells of it.

    Raises:
        SettingsError: they name no transport that a relay could serve.
    """
    if settings.weights.transport != "http":
        raise SettingsError(
            "weights.transport=file shares a folder and has no use for a relay; set weights.transport=http"
        )
    check_writable("relay.directory", settings.relay_directory)
    listener = bind(settings.relay.host, settings.relay.port)
    trouble = trouble_at(settings.redis)
    if trouble:
        logger.warning("redis.url=%s: %s; it is asked again when needed", settings.redis.url, trouble.text)
    runtime = Runtime(settings, bound_url(listener, settings.network.advertise_host))
    serve(build_app(settings, runtime), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
