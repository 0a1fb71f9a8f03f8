"""One way to connect to Redis, for every part.

Invariant: a Redis that restarts is waited for, up to a deadline, and every call may safely be sent
twice: the ledger's scripts check the state they expect, so a repeated call changes nothing.
"""

from __future__ import annotations

import math
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from vapo.settings import RedisSettings, SettingsError

RedisClient = Any
"""A :class:`redis.Redis` that answers in bytes; its own types say ``bytes | str`` everywhere."""

PATIENCE_SECONDS = 90.0
RECONNECT_CAP_SECONDS = 1.0


def connect(settings: RedisSettings, patience_seconds: float = PATIENCE_SECONDS) -> RedisClient:
    """A client that decodes nothing and reconnects for about that long before it gives up.

    Raises:
        SettingsError: the password file cannot be read.
    """
    attempts = math.ceil(patience_seconds / RECONNECT_CAP_SECONDS)
    return Redis.from_url(
        settings.url,
        password=_password(settings),
        socket_timeout=settings.timeout_seconds,
        socket_connect_timeout=settings.timeout_seconds,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=RECONNECT_CAP_SECONDS, base=0.05), attempts),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


def _password(settings: RedisSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"redis.password_file={settings.password_file} cannot be read: {error.strerror}"
        ) from None
