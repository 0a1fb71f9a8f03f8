"""``python -m services.relay --config FILE [--set section.key=value]`` (also: ``vapo relay``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from services.relay.app import build_app
from services.relay.runtime import Runtime
from vapo.service import bind, bound_url, parse_arguments, serve
from vapo.telemetry import configure_logging


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; 1 when the settings name no transport a relay could serve."""
    configure_logging()
    settings = parse_arguments("services.relay", argv)
    if settings.weights.transport != "http":
        print("services.relay: weights.transport=file shares a folder and has no use for a relay; "
              "set weights.transport=http", file=sys.stderr)
        return 1
    listener = bind(settings.relay.host, settings.relay.port)
    runtime = Runtime(settings, bound_url(listener, settings.network.advertise_host))
    serve(build_app(settings, runtime), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
