"""``python -P -m services.verifier --config FILE [--set section.key=value]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from services.verifier.app import Hooks, build_app
from services.verifier.runtime import Runtime
from services.verifier.service import VerifierService
from vapo.ledger.connection import wait_for_redis
from vapo.service import bind, bound_url, parse_arguments, serve
from vapo.settings import Settings
from vapo.startup import run_part
from vapo.telemetry import configure_logging, new_registry


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit status (`vapo.startup`)."""
    configure_logging()
    return run_part("services.verifier",
                    lambda: run(parse_arguments("services.verifier", argv)))


def run(settings: Settings) -> int:
    """Serve with ``settings``."""
    listener = bind(settings.verifier.host, settings.verifier.port)
    wait_for_redis(settings.redis)
    metrics = new_registry()
    service = VerifierService(settings.verifier, metrics)
    runtime = Runtime(settings, service, bound_url(listener, settings.network.advertise_host))
    hooks = Hooks(runtime.unready_reason, runtime.start, runtime.stop)
    try:
        serve(build_app(settings, service, metrics, hooks), listener)
    finally:
        service.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
