"""The gateway as a process."""

from __future__ import annotations

from services.gateway.app import gateway_app
from services.gateway.context import Gateway
from vapo.ledger.connection import wait_for_redis
from vapo.ledger.fleet import Member
from vapo.service import Heartbeat, bind, bound_url, member_name, serve
from vapo.settings import Settings


def run(settings: Settings) -> int:
    """Serve with ``settings``."""
    wait_for_redis(settings.redis)
    gateway = Gateway.make(settings)
    listener = bind(settings.gateway.host, settings.gateway.port)
    name, url = member_name("gateway"), bound_url(listener, settings.network.advertise_host)
    heartbeat = Heartbeat(
        gateway.ledger.watch, lambda: Member(name, "gateway", url, "READY"), settings.ledger.heartbeat_seconds
    )
    heartbeat.start()
    try:
        serve(gateway_app(gateway), listener)
    finally:
        heartbeat.stop()
    return 0
