"""``python -m services.verifier --config FILE [--set section.key=value]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from services.verifier.app import Hooks, build_app
from services.verifier.runtime import Runtime
from services.verifier.service import VerifierService
from vapo.service import bind, bound_url, parse_arguments, serve
from vapo.telemetry import configure_logging, new_registry


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    configure_logging()
    settings = parse_arguments("services.verifier", argv)
    listener = bind(settings.verifier.host, settings.verifier.port)
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
