"""A part's entry in the fleet, kept fresh.

Invariants: an entry that changes state or version is told at once, whatever the interval; a part
that leaves takes its entry along.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from redis.exceptions import RedisError

from vapo.ledger.fleet import Fleet, Member
from vapo.ledger.patient_loop import PatientLoop
from vapo.ledger.run_watch import RunWatch
from vapo.ledger.trouble import Kind, Trouble

logger = logging.getLogger(__name__)

READY, UNREADY = "READY", "UNREADY"
LOOK_SECONDS = 0.25
"""How soon a change of state is told to the fleet, whatever the heartbeat's interval."""


class Heartbeat:
    """Looks at the run in Redis, and keeps a part's entry in the fleet fresh, from a thread of its
    own and over the watch's own connection.
    """

    def __init__(self, watch: RunWatch, describe: Callable[[], Member], seconds: float) -> None:
        self._watch, self._describe, self._seconds = watch, describe, seconds
        self._fleet = Fleet(watch.redis, watch.keys, seconds)
        self._due, self._seen = 0.0, False
        self._told: Member | None = None
        self._loop = PatientLoop("heartbeat", self._round, watch.failed, "heartbeat missed")

    def start(self) -> None:
        """Begin beating."""
        self._loop.start()

    def stop(self) -> None:
        """Leave the fleet; one that was never seen there has nothing to leave, nor to wait for."""
        self._loop.stop()
        self._loop.join(self._seconds + 1)
        if not self._seen:
            return
        try:
            self._fleet.leave(self._describe().name)
        except RedisError as error:
            self._watch.failed("could not leave the fleet", error)

    def _round(self) -> float:
        if time.monotonic() >= self._due or self._has_changed():
            self._due, self._told = time.monotonic() + self._seconds, None
            self._beat()
        return min(LOOK_SECONDS, self._seconds)

    def _beat(self) -> None:
        trouble = self._watch.look()
        if trouble is not None and trouble.kind is Kind.SILENT:
            return
        try:
            told = self._describe()
            self._fleet.beat(_with_trouble(told, trouble))
            self._told, self._seen = told, True
        except RedisError:
            raise
        except Exception:
            # A part that cannot describe itself for once is not dead: the next beat tells.
            logger.exception("heartbeat missed")

    def _has_changed(self) -> bool:
        """Whether state or version are others than the fleet was told."""
        if self._told is None:
            return False
        try:
            now = self._describe()
        except Exception:
            return False  # logged when the beat is due
        return (now.state, now.weight_version) != (self._told.state, self._told.weight_version)


def _with_trouble(member: Member, trouble: Trouble | None) -> Member:
    """``member`` as it is shown while Redis is in trouble."""
    if trouble is None:
        return member
    state = UNREADY if member.state == READY else member.state
    return replace(member, state=state, reason=trouble.text)
