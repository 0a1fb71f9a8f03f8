"""What `vapo doctor` finds about a Redis that settings name."""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError, ResponseError

from vapo.ledger.connection import PROBE, PROBE_MILLISECONDS, connect_briefly
from vapo.ledger.patience import REQUEST_SECONDS
from vapo.ledger.server_rules import NOT_SEEN, POLICY, appends, eviction_policy, evicts
from vapo.ledger.trouble import explain
from vapo.local.private_redis import OLDEST_VERSION
from vapo.settings import RedisSettings, SettingsError


def findings_of(settings: RedisSettings) -> list[tuple[str, str]]:
    """Level (`ok`, `warning`, `error`) and text of each thing to say about it; a key that lasts a
    second is written to see whether writes are taken.
    """
    try:
        client = connect_briefly(settings, REQUEST_SECONDS)
        try:
            found = [*_version(client), *_policy(client), *_append_only(client), *_writes(client)]
        finally:
            client.close()
    except (RedisError, SettingsError) as error:
        text = explain(error) if isinstance(error, RedisError) else str(error)
        return [("error", f"{settings.url}: {text}")]
    if not found:
        return [("ok", f"{settings.url}: {POLICY}, append-only file, takes writes")]
    return [(level, f"{settings.url}: {text}") for level, text in found]


def _version(client: Any) -> list[tuple[str, str]]:
    try:
        told = str(client.info("server").get("redis_version", ""))
    except ResponseError:
        return [("warning", "its version could not be looked at; 6.2 or newer is needed")]
    numbers = tuple(int(part) for part in told.split(".")[:3] if part.isdigit())
    if numbers and numbers < OLDEST_VERSION:
        return [("error", f"version {told} is too old; use 6.2 or newer")]
    return []


def _policy(client: Any) -> list[tuple[str, str]]:
    policy = eviction_policy(client)
    if policy is None:
        return [("warning", f"maxmemory-policy could not be looked at ({NOT_SEEN}); make sure that it is {POLICY}")]
    return [] if policy == POLICY else [("error", evicts(policy))]


def _append_only(client: Any) -> list[tuple[str, str]]:
    told = appends(client)
    if told is None:
        return [("warning", "whether it writes an append-only file could not be looked at")]
    return (
        []
        if told
        else [
            ("warning", "writes no append-only file: what is in it is lost when it restarts; set appendonly yes there")
        ]
    )


def _writes(client: Any) -> list[tuple[str, str]]:
    try:
        client.set(PROBE, "1", px=PROBE_MILLISECONDS)
    except ResponseError as error:
        return [("error", explain(error))]
    return []
