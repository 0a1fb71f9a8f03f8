"""The verifier as a process."""

from __future__ import annotations

from services.verifier.app import Hooks, build_app
from services.verifier.runtime import Runtime
from services.verifier.service import VerifierService
from vapo.ledger.connection import wait_for_redis
from vapo.service import bind, bound_url, serve
from vapo.settings import Settings
from vapo.telemetry import new_registry


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
