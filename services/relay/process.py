"""The relay as a process."""

from __future__ import annotations

from services.relay.part import RelayPart
from services.relay.routes import add_routes
from vapo.service import serve_part
from vapo.settings import Settings, SettingsError
from vapo.settings.transports import TRANSPORTS
from vapo.startup import check_writable


def run(settings: Settings) -> int:
    """Serve with ``settings``; returns the exit status. A Redis that is away is no reason to end.

    Raises:
        SettingsError: they name no transport that a relay could serve.
    """
    if not TRANSPORTS[settings.weights.transport].is_served:
        raise SettingsError(
            f"weights.transport={settings.weights.transport} shares a folder and has no use for a relay; "
            "set weights.transport=http"
        )
    check_writable("relay.directory", settings.relay_directory)
    return serve_part("relay", settings, lambda endpoint: RelayPart(settings, endpoint), add_routes, needs_redis=False)
