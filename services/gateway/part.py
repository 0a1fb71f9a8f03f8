"""What runs in a gateway process beside the HTTP server: events, feeder, housekeeping."""

from __future__ import annotations

import asyncio

from services.gateway.context import Gateway
from services.gateway.gauges import add_gauges
from vapo.ledger.fleet import Member
from vapo.service import Endpoint, Part


class GatewayPart(Part):
    """The threads of a gateway."""

    def __init__(self, gateway: Gateway, endpoint: Endpoint) -> None:
        super().__init__(gateway.settings, endpoint, gateway.ledger.watch)
        self.gateway = gateway
        self._threads = (gateway.events, gateway.feeder, gateway.housekeeping)
        limits = gateway.settings.gateway
        self.body_limit = limits.max_body_bytes
        self.body_limits = dict.fromkeys(("/v1/datasets", "/v1/datasets/check"), limits.max_dataset_bytes)
        add_gauges(self.metrics, gateway.ledger)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """End the threads and let go of the connections."""
        await asyncio.gather(*(asyncio.to_thread(thread.stop) for thread in self._threads))
        await self.gateway.proxy.close()

    def member(self) -> Member:
        """READY as long as it serves."""
        return self.endpoint.member("READY")
