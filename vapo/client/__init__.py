"""The gateway's REST calls for programs of this project: commands, the demo, benchmarks."""

from __future__ import annotations

from vapo.client.gateway_client import (
    CONNECT_SECONDS,
    GatewayClient,
    GatewayError,
    connection,
    explain,
    of_run,
    unanswered,
)

__all__ = ["CONNECT_SECONDS", "GatewayClient", "GatewayError", "connection", "explain", "of_run", "unanswered"]
