"""One way to connect to Redis, for every part.

Invariant: a Redis that restarts is waited for, up to a deadline, and every call may safely be sent
twice: the ledger's scripts check the state they expect, so a repeated call changes nothing.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from vapo.ledger import sentinel
from vapo.settings import RedisSettings, SettingsError
from vapo.startup import UnavailableError

logger = logging.getLogger(__name__)

RedisClient = Any
"""A :class:`redis.Redis` that answers in bytes; its own types say ``bytes | str`` everywhere."""

RECONNECT_CAP_SECONDS = 1.0


def connect(settings: RedisSettings, patience_seconds: float | None = None) -> RedisClient:
    """A client that decodes nothing and reconnects for about that long before it gives up; by
    default ``redis.patience_seconds``.

    Raises:
        SettingsError: the password file cannot be read, or `redis.url` is no address.
    """
    patience = settings.patience_seconds if patience_seconds is None else patience_seconds
    attempts = math.ceil(patience / RECONNECT_CAP_SECONDS)
    options = {
        "password": _password(settings),
        "health_check_interval": 30,
        "retry": Retry(ExponentialBackoff(cap=RECONNECT_CAP_SECONDS, base=0.05), attempts),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
    }
    try:
        if urlsplit(settings.url).scheme == sentinel.SCHEME:
            return sentinel.primary_client(settings.url, settings.timeout_seconds, **options)
        timeouts = sentinel.timeouts(settings.timeout_seconds)
        return Redis.from_url(settings.url, **timeouts, **options)
    except ValueError as error:
        raise SettingsError(f"redis.url={settings.url!r}: {error}") from None


def wait_for_redis(settings: RedisSettings) -> None:
    """Return once Redis answers; a part's first look, before it relies on it.

    Raises:
        SettingsError: the settings do not lead to a Redis, or it refuses the password.
        UnavailableError: it did not answer within ``redis.patience_seconds``.
    """
    deadline = time.monotonic() + settings.patience_seconds
    reason = why_silent(settings)
    if reason:
        logger.warning("Redis at %s does not answer (%s); waiting for up to %g s", settings.url,
                       reason, settings.patience_seconds)
    while reason:
        if time.monotonic() >= deadline:
            raise UnavailableError(
                f"redis.url={settings.url} did not answer within {settings.patience_seconds:g} s "
                f"(redis.patience_seconds): {reason}; start Redis there, or name the one to use")
        time.sleep(min(RECONNECT_CAP_SECONDS, settings.patience_seconds))
        reason = why_silent(settings)


def why_silent(settings: RedisSettings) -> str | None:
    """What Redis has against answering now, or None.

    Raises:
        SettingsError: as for :func:`wait_for_redis`.
    """
    client = connect(settings, 0)
    try:
        client.ping()
    except AuthenticationError as error:
        raise SettingsError(
            f"redis.url={settings.url} refuses the password of redis.password_file="
            f"{settings.password_file}: {error}; name the file with this Redis's password"
        ) from None
    except RedisError as error:
        return str(error)
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
