"""A part's entry in the fleet, kept fresh.

Invariants: an entry that changes state or version is told at once, whatever the interval; a part
that leaves takes its entry along.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from redis.exceptions import RedisError

from vapo.ledger.fleet import Fleet, Member
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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Begin beating."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the fleet."""
        self._stopping.set()
        self._thread.join(timeout=self._seconds + 1)
        try:
            self._fleet.leave(self._describe().name)
        except RedisError as error:
            self._watch.failed("could not leave the fleet", error)

    def _run(self) -> None:
        while True:
            trouble, told = self._watch.look(), None
            try:
                if trouble is None or trouble.kind is not Kind.SILENT:
                    told = self._describe()
                    self._fleet.beat(_with_trouble(told, trouble))
            except RedisError as error:
                self._watch.failed("heartbeat missed", error)
            except Exception:
                # A part that cannot describe itself for once is not dead: the next beat tells.
                logger.exception("heartbeat missed")
            if self._rest(told):
                return

    def _rest(self, told: Member | None) -> bool:
        """Until the next beat: when it is due, or at once when state or version have changed.
        Returns whether to end.
        """
        due = time.monotonic() + self._seconds
        while not self._stopping.wait(min(LOOK_SECONDS, self._seconds)):
            if time.monotonic() >= due or (told is not None and self._has_changed(told)):
                return False
        return True

    def _has_changed(self, told: Member) -> bool:
        try:
            now = self._describe()
        except Exception:
            return False  # logged when the beat is due
        return (now.state, now.weight_version) != (told.state, told.weight_version)


def _with_trouble(member: Member, trouble: Trouble | None) -> Member:
    """``member`` as it is shown while Redis is in trouble."""
    if trouble is None:
        return member
    state = UNREADY if member.state == READY else member.state
    return replace(member, state=state, reason=trouble.text)


def member_name(part: str) -> str:
    """A name no other process of the fleet has."""
    return f"{part}-{socket.gethostname()[:24]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
