"""From settings to a transport, a cache and a source."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

from vapo.ledger.connection import RedisClient, connect
from vapo.ledger.fleet import Fleet
from vapo.ledger.keys import Keys
from vapo.ledger.patience import LOOP_CALL_SECONDS
from vapo.service import service_headers
from vapo.settings import Settings
from vapo.settings.transports import TRANSPORTS
from vapo.startup import check_writable
from vapo.weights.cache import WeightCache
from vapo.weights.channel import WeightChannel
from vapo.weights.errors import SourceUnavailableError
from vapo.weights.source import WeightSource
from vapo.weights.transport import FileTransport, HttpTransport, Transport


def check_cache(settings: Settings) -> None:
    """Raise StartupError when a replica that keeps a cache has nowhere to write."""
    if TRANSPORTS[settings.weights.transport].is_served:
        check_writable("weights.cache_directory", settings.weights_cache_directory)


def transport_for(settings: Settings) -> Transport:
    """The transport a replica uses (``weights.transport``). Opens no connection yet."""
    return MAKERS[settings.weights.transport](settings)


def _file_transport(settings: Settings) -> Transport:
    return FileTransport(settings.run.weights_directory)


def _http_transport(settings: Settings) -> Transport:
    redis = connect(settings.redis, LOOP_CALL_SECONDS)
    source = open_source(settings, redis, settings.weights.relay_url)
    return HttpTransport(open_cache(settings, redis, source, settings.weights_cache_directory), source)


MAKERS: dict[str, Callable[[Settings], Transport]] = {"file": _file_transport, "http": _http_transport}
"""Value of ``weights.transport`` -> who makes it; their facts are in ``vapo.settings.transports``."""


def open_source(settings: Settings, redis: RedisClient, relay_url: str | None) -> WeightSource:
    """The relay if there is one, else the trainer: where the settings or the fleet say it is."""
    named = relay_url or settings.weights.source_url
    weights = settings.weights
    return WeightSource(
        (lambda: named) if named else trainer_locator(settings, redis),
        service_headers(settings),
        weights.stall_seconds,
        weights.parallel_ranges,
    )


def open_cache(settings: Settings, redis: RedisClient, source: WeightSource, directory: Path) -> WeightCache:
    """A cache that takes only manifests announced in Redis."""
    channel = WeightChannel(redis, Keys(settings.run.name))
    return WeightCache(directory, source, channel.digest_of, settings.weights)


def trainer_locator(settings: Settings, redis: RedisClient) -> Callable[[], str]:
    """A function that looks the trainer's URL up in the fleet.

    It raises SourceUnavailableError when no trainer is alive.
    """
    fleet = Fleet(redis, Keys(settings.run.name), settings.ledger.heartbeat_seconds)

    def locate() -> str:
        alive = fleet.alive("trainer")
        if not alive:
            raise SourceUnavailableError(
                "no trainer is in the fleet to fetch weights from; start it, or name who serves "
                "them in weights.source_url"
            )
        return max(alive, key=attrgetter("seen_at")).url

    return locate
