"""Whether Redis still holds this run and takes its writes, as one part sees it.

A run is marked when its first part starts: a random word in the run's hash. Every part remembers
it, so an emptied Redis, an empty replica or an evicted key is told from a run that begins.

Invariants:
- a run that is lost never begins anew by itself: the mark a part remembers does not change;
- a look ends within :data:`LOOK_SECONDS` or little more, whatever Redis does;
- however many threads fail, the log tells of the trouble once, and then once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

from redis.exceptions import RedisError, ResponseError

from vapo.ledger.connection import RedisClient, connect_briefly
from vapo.ledger.keys import GROUP, Key, Keys, Stage
from vapo.ledger.patience import LOOK_SECONDS
from vapo.ledger.server_rules import POLICY, evicts
from vapo.ledger.trouble import Kind, RunLostError, Trouble, lost, trouble_of
from vapo.settings import Settings
from vapo.telemetry.quiet_log import QuietLog

logger = logging.getLogger(__name__)

RECENT_SECONDS = 1.0
MARK = "mark"
"""Field of the run's hash that tells this run from any other of its name."""
PROBE_MILLISECONDS = 60_000


class RunWatch:
    """Looks at the run over a connection of its own. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(settings.run.name)
        self.redis: RedisClient = connect_briefly(settings.redis, LOOK_SECONDS)
        self.mark: str | None = None
        """Of the run, as first seen."""
        self._log = QuietLog(logger)
        self._faults: dict[str, QuietLog] = {}
        self._evicted_before: int | None = None
        self._looking = threading.Lock()
        self._last: tuple[float, Trouble | None] = (-RECENT_SECONDS, None)

    def begin(self, redis: RedisClient) -> None:
        """Mark the run if nothing has, and remember its mark. Raises RedisError."""
        if self.mark is None:
            redis.hsetnx(self.keys.named(Key.RUN), MARK, uuid.uuid4().hex)
            self.mark = read_mark(redis, self.keys)

    def look(self) -> Trouble | None:
        """What is wrong now, or None."""
        try:
            found = self._judged(self._answers())
        except RedisError as error:
            found = trouble_of(error)
        self._last = (time.monotonic(), found)
        self._tell(found)
        return found

    def recent(self) -> Trouble | None:
        """:meth:`look`, or its answer of a moment ago."""
        with self._looking:
            at, found = self._last
            return found if time.monotonic() - at < RECENT_SECONDS else self.look()

    def reason(self) -> str | None:
        """What ``/readyz`` says against Redis, or None."""
        trouble = self.look()
        return trouble.text if trouble else None

    def refuse_if_lost(self) -> None:
        """Raise RunLostError when Redis does not hold this run any more."""
        trouble = self.look()
        if trouble and trouble.kind is Kind.LOST:
            raise RunLostError(trouble.text)

    def failed(self, what: str, error: RedisError) -> None:
        """A call failed and will be tried again: the log tells why, if it has not yet."""
        logger.debug("%s: %s", what, error)
        # A look of a moment ago may have been made before what this call met.
        if self.recent() is None and self.look() is None:
            fault = self._faults.setdefault(what, QuietLog(logger))
            fault.warn(type(error).__name__, f"{what}: {trouble_of(error).text}")

    def _answers(self) -> list[Any]:
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hget(self.keys.named(Key.RUN), MARK)
            for stage in Stage:
                pipe.xinfo_groups(self.keys.stream(stage))
            pipe.info("memory")
            pipe.info("stats")
            pipe.set(self.keys.named(Key.PROBE), "1", px=PROBE_MILLISECONDS)
            answers: list[Any] = pipe.execute(raise_on_error=False)
        return answers

    def _judged(self, answers: list[Any]) -> Trouble | None:
        mark, *groups, memory, stats, written = answers
        if isinstance(mark, RedisError):
            return trouble_of(mark)
        gone = self._gone(mark, groups)
        if gone:
            return gone
        if isinstance(written, RedisError):
            return trouble_of(written)
        policy = memory.get("maxmemory_policy", POLICY) if isinstance(memory, dict) else POLICY
        if policy != POLICY:
            return Trouble(Kind.EVICTS, f"Redis {evicts(policy)}")
        return self._evicted(stats.get("evicted_keys", 0) if isinstance(stats, dict) else 0)

    def _evicted(self, total: int) -> Trouble | None:
        """Keys went while this part ran: which ones, nobody knows."""
        before = total if self._evicted_before is None else self._evicted_before
        self._evicted_before = min(total, before)  # a server that restarts counts from 0
        number = total - self._evicted_before
        if not number:
            return None
        return Trouble(
            Kind.EVICTS,
            f"Redis has evicted {number} keys since this part started, "
            "perhaps this run's: look with `vapo audit`, then restart the "
            "parts or give Redis its data back",
        )

    def _gone(self, mark: bytes | None, groups: list[Any]) -> Trouble | None:
        if self.mark is None:
            self.mark = mark.decode() if mark else None
            return None
        if mark is None:
            return lost("it holds nothing of it")
        if mark.decode() != self.mark:
            return lost("it holds another one of the same name")
        for stage, found in zip(Stage, groups, strict=True):
            if isinstance(found, ResponseError) or not _has_group(found):
                return lost(f"the queue {stage} is gone, and perhaps more")
        return None

    def _tell(self, found: Trouble | None) -> None:
        if found:
            self._log.warn(found.kind, found.text)
        else:
            self._log.clear("Redis answers, holds the run and takes its writes again")


def read_mark(redis: RedisClient, keys: Keys) -> str | None:
    """The mark of the run that Redis holds, or None. Raises RedisError."""
    mark = redis.hget(keys.named(Key.RUN), MARK)
    return mark.decode() if mark else None


def _has_group(found: list[dict[str, Any]]) -> bool:
    return any(group["name"] in (GROUP, GROUP.encode()) for group in found)
