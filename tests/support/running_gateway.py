"""A gateway served over real HTTP from a thread of the test process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from services.gateway.context import Gateway
from services.gateway.part import GatewayPart
from services.gateway.routes import add_routes
from tests.support.ledger_records import settings_for
from vapo.ledger import Ledger
from vapo.model.text.tokenizer import policy_tokenizer
from vapo.service import Endpoint, app_of, bind
from vapo.service.http_clients import http_client
from vapo.settings import RedisSettings, Settings

DEADLINE_SECONDS = 20


def gateway_settings(redis: RedisSettings, directory: Path, *assignments: str) -> Settings:
    """Settings of a gateway over the shipped model, in a fresh run."""
    return settings_for(redis, f"run.directory={directory}", *assignments)


class RunningGateway:
    """Context manager: serves while it is entered."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> RunningGateway:
        self._serve(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def restart(self, meanwhile: Callable[[], None]) -> RunningGateway:
        """Stop, do something, and serve at the same address again."""
        port = int(self.url.rpartition(":")[2])
        self._stop()
        meanwhile()
        self._serve(port)
        return self

    def _serve(self, port: int) -> None:
        self.gateway = Gateway.make(self.settings, policy_tokenizer(self.settings.model))
        self.ledger: Ledger = self.gateway.ledger
        listener = bind("127.0.0.1", port)
        endpoint = Endpoint.at(listener, "gateway", self.settings)
        self.url = endpoint.url
        app = app_of(GatewayPart(self.gateway, endpoint), add_routes, in_fleet=False)
        config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        listener.listen()
        self._thread.start()
        self.client = http_client(base_url=self.url, timeout=DEADLINE_SECONDS)
        assert self.client.get("/readyz").json() == {"status": "ready"}

    def _stop(self) -> None:
        self.client.close()
        self.gateway.events.stopping.set()
        self._server.should_exit = True
        self._thread.join(timeout=DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "the server did not shut down"
        self.ledger.redis.close()
