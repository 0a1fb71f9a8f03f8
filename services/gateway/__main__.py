"""``python -P -m services.gateway --config FILE --set section.key=value``."""

from __future__ import annotations

import sys

from services.gateway.app import gateway_app
from services.gateway.context import Gateway
from vapo.ledger.connection import wait_for_redis
from vapo.ledger.fleet import Member
from vapo.service import Heartbeat, bind, bound_url, member_name, parse_arguments, serve
from vapo.settings import Settings
from vapo.startup import run_part
from vapo.telemetry import configure_logging


def main() -> int:
    """Serve until told to stop. Returns the exit status (`vapo.startup`)."""
    configure_logging()
    return run_part("services.gateway", lambda: run(parse_arguments("services.gateway")))


def run(settings: Settings) -> int:
    """Serve with ``settings``."""
    wait_for_redis(settings.redis)
    gateway = Gateway.make(settings)
    listener = bind(settings.gateway.host, settings.gateway.port)
    name, url = member_name("gateway"), bound_url(listener, settings.network.advertise_host)
    heartbeat = Heartbeat(
        gateway.ledger.watch,
        lambda: Member(name, "gateway", url, "READY"),
        settings.ledger.heartbeat_seconds,
    )
    heartbeat.start()
    try:
        serve(gateway_app(gateway), listener)
    finally:
        heartbeat.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
