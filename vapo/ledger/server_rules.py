"""What a Redis must be set to so that it keeps a ledger.

Invariants: a Redis that evicts keys is refused by name; one that keeps nothing on disk is warned
about; what it does not let itself be asked (a managed service without ``CONFIG``) is said.
"""

from __future__ import annotations

import logging
from typing import Any

from redis.exceptions import ResponseError

from vapo.settings import SettingsError

logger = logging.getLogger(__name__)

POLICY = "noeviction"
NOT_SEEN = "it lets neither INFO nor CONFIG GET be called"


def check_server(client: Any, url: str) -> None:
    """Refuse what would lose the run's keys; warn of what might.

    Raises:
        SettingsError: keys would be evicted.
        RedisError: it does not answer.
    """
    policy = eviction_policy(client)
    if policy is None:
        logger.warning(
            "redis.url=%s: maxmemory-policy could not be looked at (%s); make sure that it is %s", url, NOT_SEEN, POLICY
        )
    elif policy != POLICY:
        raise SettingsError(f"redis.url={url} {evicts(policy)}")
    if appends(client) is False:
        logger.warning(
            "redis.url=%s writes no append-only file: what is in it is lost when it restarts; set appendonly yes there",
            url,
        )


def evicts(policy: str) -> str:
    """What is wrong with a policy, and the remedy."""
    return (
        f"has maxmemory-policy={policy}: when it is full it forgets keys, the run's among them;"
        f" set maxmemory-policy {POLICY} there, or name another Redis"
    )


def eviction_policy(client: Any) -> str | None:
    """``maxmemory-policy`` of the server; None when it cannot be asked. Raises RedisError."""
    return _asked(client, "memory", "maxmemory_policy", "maxmemory-policy")


def appends(client: Any) -> bool | None:
    """Whether it writes an append-only file; None when it cannot be asked. Raises RedisError."""
    told = _asked(client, "persistence", "aof_enabled", "appendonly")
    return None if told is None else told in ("1", "yes")


def _asked(client: Any, section: str, field: str, option: str) -> str | None:
    try:
        told = client.info(section).get(field)
        if told is not None:
            return str(told)
    except ResponseError as error:
        logger.debug("INFO %s: %s", section, error)
    try:
        found = {_text(name): _text(value) for name, value in client.config_get(option).items()}
    except ResponseError as error:
        logger.debug("CONFIG GET %s: %s", option, error)
        return None
    return found.get(option)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
