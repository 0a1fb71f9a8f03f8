"""What Redis has against a call, in words that are true.

Invariant: "does not answer" is said of a Redis that does not answer, and of no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Kind(StrEnum):
    """Kinds of trouble; each has its own remedy."""

    SILENT = "silent"
    LOADING = "loading"
    REFUSES = "refuses"
    """It answers, but takes no writes; that may pass."""
    LOST = "lost"
    """It is not, or no longer, the Redis that holds this run."""
    EVICTS = "evicts"
    FAULT = "fault"
    """A single call is refused; Redis itself may be well."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with Redis, for this run."""

    kind: Kind
    text: str
    """One sentence with the remedy."""


class RunLostError(ResponseError):
    """Redis does not hold this run any more."""


LOST = "Redis has lost this run"
RESTORE = (
    "stop the parts and give Redis its data back, or begin with empty queues "
    "(docs/operations.md, When Redis loses a run)"
)
REFUSALS = {
    "OOM": "it is full: free memory there, or raise its maxmemory",
    "READONLY": "it is a read-only replica: name the primary in redis.url, or make it one",
    "MISCONF": "it cannot save its data: see its log and the disk it writes to",
    "NOREPLICAS": "too few of its replicas are connected (min-replicas-to-write)",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "its cluster is down",
    "BUSY": "a script keeps it busy",
}
CODE = re.compile(rf"\b({'|'.join(REFUSALS)}|LOADING|NOGROUP)\b")
NAMED = (
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
)
"""redis-py takes the code out of the text of these."""


def trouble_of(error: RedisError) -> Trouble:
    """What an error says of Redis."""
    code, text = _code(error), _text(error)
    if isinstance(error, RunLostError):
        return Trouble(Kind.LOST, str(error))
    if code == "NOGROUP":
        return lost(f"the queues are gone ({text})")
    if code == "LOADING":
        return Trouble(Kind.LOADING, f"Redis is loading its data ({text}); wait until it has")
    if code:
        words = text if code in text else f"{code} {text}"
        return Trouble(Kind.REFUSES, f"Redis refuses writes: {words}; {REFUSALS[code]}")
    if isinstance(error, (AuthenticationError, AuthorizationError, NoPermissionError)):
        return Trouble(
            Kind.FAULT, f"Redis refuses this part's user: {text}; see redis.password_file and the user's rights"
        )
    if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
        return Trouble(Kind.SILENT, f"Redis does not answer: {text}; see that it runs")
    return Trouble(Kind.FAULT, f"Redis refuses a call: {text}")


def lost(why: str) -> Trouble:
    """The run is not in this Redis."""
    return Trouble(Kind.LOST, f"{LOST}: {why}; {RESTORE}")


def explain(error: RedisError) -> str:
    """One sentence about an error, for logs and answers."""
    return trouble_of(error).text


def is_refusal(error: BaseException) -> bool:
    """Whether Redis answered but takes no writes, which passes without a restart."""
    return isinstance(error, RedisError) and trouble_of(error).kind is Kind.REFUSES


def _code(error: RedisError) -> str | None:
    for kind, code in NAMED:
        if isinstance(error, kind):
            return code
    found = CODE.search(_text(error)) if isinstance(error, ResponseError) else None
    return found.group(1) if found else None


def _text(error: RedisError) -> str:
    """The words of Redis, without the command of a pipeline that caused them."""
    return " ".join(str(error).rpartition("caused error: ")[2].split()).rstrip(".")
