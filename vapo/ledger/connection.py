"""One way to connect to Redis, for every part.

Invariants: a Redis that restarts is waited for, up to a deadline, and every call may safely be sent
twice: the ledger's scripts check the state they expect, so a repeated call changes nothing. A Redis
that would forget keys is never used.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vapo.ledger import sentinel
from vapo.ledger.patience import PAUSE_SECONDS, Patience, Seconds, no_seconds
from vapo.ledger.server_rules import check_server
from vapo.ledger.trouble import Kind, Trouble, trouble_of
from vapo.settings import RedisSettings, SettingsError
from vapo.startup import UnavailableError

logger = logging.getLogger(__name__)

RedisClient = Any
"""A :class:`redis.Redis` that answers in bytes; its own types say ``bytes | str`` everywhere."""

PROBE = "vapo:probe"
"""A key that is written to see whether Redis takes writes."""
PROBE_MILLISECONDS = 1000


def connect(
    settings: RedisSettings, patience_seconds: float | None = None, refusal_seconds: Seconds = no_seconds
) -> RedisClient:
    """A client that decodes nothing and tries again for that long before it gives up; by default
    ``redis.patience_seconds``. ``refusal_seconds``: the same, while Redis refuses writes.

    Raises:
        SettingsError: the password file cannot be read, or `redis.url` is no address.
    """
    patience = settings.patience_seconds if patience_seconds is None else patience_seconds
    options = {
        "password": _password(settings),
        "health_check_interval": 30,
        "retry": Patience(patience, refusal_seconds),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
    }
    try:
        if urlsplit(settings.url).scheme == sentinel.SCHEME:
            return sentinel.primary_client(settings.url, settings.timeout_seconds, **options)
        timeouts = sentinel.timeouts(settings.timeout_seconds)
        return Redis.from_url(settings.url, **timeouts, **options)
    except ValueError as error:
        raise SettingsError(f"redis.url={settings.url!r}: {error}") from None


def connect_briefly(settings: RedisSettings, seconds: float) -> RedisClient:
    """A client whose calls end within about ``seconds``, for looks that nobody may wait for."""
    timeout = min(settings.timeout_seconds, seconds / 2)
    return connect(settings.model_copy(update={"timeout_seconds": timeout}), seconds / 2)


def wait_for_redis(settings: RedisSettings) -> None:
    """Return once Redis answers and takes writes; a part's first look, before it relies on it.

    Raises:
        SettingsError: the settings do not lead to a Redis, it refuses the password, or it is set
            to evict keys.
        UnavailableError: it was not so within ``redis.patience_seconds``.
    """
    deadline = time.monotonic() + settings.patience_seconds
    trouble = trouble_at(settings)
    if trouble:
        logger.warning(
            "redis.url=%s: %s; waiting for up to %g s", settings.url, trouble.text, settings.patience_seconds
        )
    while trouble:
        if time.monotonic() >= deadline:
            raise UnavailableError(_given_up(settings, trouble))
        time.sleep(min(PAUSE_SECONDS, settings.patience_seconds))
        trouble = trouble_at(settings)


def _given_up(settings: RedisSettings, trouble: Trouble) -> str:
    limit = f"{settings.patience_seconds:g} s (redis.patience_seconds)"
    if trouble.kind is Kind.SILENT:
        return (
            f"redis.url={settings.url} did not answer within {limit}: {trouble.text}; start "
            "Redis there, or name the one to use"
        )
    return f"redis.url={settings.url} was not usable within {limit}: {trouble.text}"


def trouble_at(settings: RedisSettings) -> Trouble | None:
    """What keeps a part from using Redis now, or None.

    Raises:
        SettingsError: as for :func:`wait_for_redis`.
    """
    client = connect(settings, 0)
    try:
        client.ping()
        check_server(client, settings.url)
        client.set(PROBE, "1", px=PROBE_MILLISECONDS)
    except AuthenticationError as error:
        raise SettingsError(
            f"redis.url={settings.url} refuses the password of redis.password_file="
            f"{settings.password_file}: {error}; name the file with this Redis's password"
        ) from None
    except RedisError as error:
        return trouble_of(error)
    finally:
        client.close()
    return None


def _password(settings: RedisSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"redis.password_file={settings.password_file} cannot be read: "
            f"{error.strerror}; write Redis's password to it, or name the file that holds it"
        ) from None
