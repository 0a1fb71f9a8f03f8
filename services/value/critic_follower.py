"""Keeps the replica at the newest published critic.

Invariants:
- a version is fetched and its checksums verified before the scorer is asked to swap;
- a version that cannot be had or does not fit is reported and the old one stays in use;
- a version without a critic (a run without value model) leaves the replica as it is.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import StrEnum

from redis.exceptions import RedisError

from services.value.replica import prepare
from services.value.scorer import Scorer, ScorerClosed
from vapo.ledger.patience import BLOCK_SECONDS, PAUSE_SECONDS
from vapo.ledger.patient_loop import PatientLoop
from vapo.ledger.trouble import explain
from vapo.model.critic import CriticError
from vapo.weights import CRITIC, Announcement, Transport, WeightChannel, WeightsError

SWAP_SECONDS = 60.0

logger = logging.getLogger(__name__)


class FollowerState(StrEnum):
    """How the replica stands to the newest published version."""

    STALE = "STALE"
    LOADING = "LOADING"
    READY = "READY"


class CriticFollower:
    """A thread that waits for announcements and hands the weights to the scorer."""

    def __init__(self, channel: WeightChannel, transport: Transport, scorer: Scorer) -> None:
        self._channel, self._transport, self._scorer = channel, transport, scorer
        self._dealt_with = 0
        """Newest version that needs no further work."""
        # Redis comes back; the heartbeat tells of it.
        self._loop = PatientLoop(
            "weights", self._round, lambda _, error: self._report(explain(error), logging.DEBUG), ""
        )
        self.caught_up = threading.Event()
        """Set once the version that was newest at the start is in use, or was refused."""
        self.state = FollowerState.STALE
        self.failure: str | None = None
        self.swapped_at: float | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._loop.start()

    def stop(self) -> None:
        """Stop following; a wait in progress ends within its block time."""
        self._loop.stop()
        self._loop.join(BLOCK_SECONDS + PAUSE_SECONDS)

    def _round(self) -> float:
        try:
            self._step()
            return 0.0
        except RedisError:
            raise
        except ScorerClosed:
            self._loop.stop()
        except (WeightsError, TimeoutError) as error:
            # A removed version is followed by a newer one.
            self._report(str(error))
        except Exception as error:
            # For example files that were removed while they were read. A thread that ended here
            # would leave the replica at its version for ever.
            logger.exception("critic weights")
            self._report(f"{type(error).__name__}: {error}")
        return PAUSE_SECONDS

    def _step(self) -> None:
        block = BLOCK_SECONDS if self.caught_up.is_set() else 0.0
        newer = self._channel.wait_newer(self._dealt_with, block)
        if newer is not None:
            self._take(newer)
        elif self.failure is None:
            self.state = FollowerState.READY
        self.caught_up.set()

    def _take(self, announced: Announcement) -> None:
        self.state = FollowerState.LOADING
        folder, manifest = self._transport.fetch(announced.version, only=CRITIC)
        try:
            if CRITIC in manifest.files:
                self._scorer.swap(prepare(folder, manifest)).result(timeout=SWAP_SECONDS)
        except CriticError as error:
            self._dealt_with = announced.version
            self._report(f"version {announced.version} refused: {error}")
            return
        self._dealt_with, self.swapped_at = announced.version, time.time()
        self.state, self.failure = FollowerState.READY, None
        logger.info("critic version %d (step %d) in use", announced.version, announced.step)

    def _report(self, failure: str, level: int = logging.WARNING) -> None:
        if failure != self.failure:
            logger.log(level, "critic weights: %s", failure)
        self.state, self.failure = FollowerState.STALE, failure
