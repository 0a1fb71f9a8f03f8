"""``python -m services.gateway --config FILE --set section.key=value``."""

from __future__ import annotations

import sys

from services.gateway.app import gateway_app
from services.gateway.context import Gateway
from vapo.ledger.control import DisagreementError
from vapo.ledger.fleet import Member
from vapo.service import Heartbeat, bind, bound_url, member_name, parse_arguments, serve
from vapo.settings import Settings, SettingsError
from vapo.telemetry import configure_logging
from vapo.tokenizer import TokenizerError


def main() -> int:
    """Serve until told to stop. Returns the exit status."""
    configure_logging()
    try:
        run(parse_arguments("gateway"))
    except (SettingsError, TokenizerError, DisagreementError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: Settings) -> None:
    """Serve with ``settings``."""
    gateway = Gateway.make(settings)
    listener = bind(settings.gateway.host, settings.gateway.port)
    name, url = member_name("gateway"), bound_url(listener, settings.network.advertise_host)
    heartbeat = Heartbeat(
        gateway.ledger.fleet,
        lambda: Member(name, "gateway", url, "READY"),
        settings.ledger.heartbeat_seconds,
    )
    heartbeat.start()
    try:
        serve(gateway_app(gateway), listener)
    finally:
        heartbeat.stop()


if __name__ == "__main__":
    sys.exit(main())
