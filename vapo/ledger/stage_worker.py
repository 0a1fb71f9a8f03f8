"""The queue worker that the verifier and value services share.

Invariants: leases are renewed while a batch is worked on; a handler that raises leaves its batch
leased, to be delivered again, and then one by one, so that of a batch only what fails by itself is
at last buried; stopping finishes the work in hand; a Redis that is away, takes no writes or has
lost the run is waited for, and costs no rollout one of its attempts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from vapo.ledger.keys import Stage
from vapo.ledger.leases import Lease
from vapo.ledger.ledger import Ledger
from vapo.ledger.patience import BLOCK_SECONDS, PAUSE_SECONDS
from vapo.ledger.patient_loop import PatientLoop
from vapo.ledger.trouble import Kind, trouble_of
from vapo.messages import Rollout
from vapo.telemetry.failure_log import FailureLog, reason_of

logger = logging.getLogger(__name__)

Work = list[tuple[Lease, Rollout]]
Handler = Callable[[Work], None]
"""Does the work and records the results in the ledger."""


class StageWorker:
    """Feeds rollouts waiting at one stage to a handler, in batches."""

    def __init__(
        self,
        ledger: Ledger,
        stage: Stage,
        consumer: str,
        handler: Handler,
        batch_size: int,
        may_begin: threading.Event | None = None,
    ) -> None:
        """``may_begin``: nothing is leased before it is set."""
        self._ledger, self._stage, self._consumer = ledger, stage, consumer
        self._handler, self._batch_size, self._may_begin = handler, batch_size, may_begin
        self._watch = ledger.watch
        self._lease_seconds = ledger.settings.ledger.lease_seconds
        self._held: list[Lease] = []
        self._failures = FailureLog(logger)
        self._next_take_over = 0.0
        self._waits = f"stage {stage} waits"
        self._loop = PatientLoop(f"{stage}-{consumer}", self._round, self._watch.failed, self._waits)
        self._renewing = PatientLoop(f"renew-{stage}", self._renew, self._watch.failed, "leases are not renewed")

    def start(self) -> None:
        """Begin to lease."""
        self._loop.start()
        self._renewing.start()

    def stop(self) -> None:
        """Finish the batch in hand and lease no other."""
        self._loop.stop()

    def join(self, seconds: float) -> None:
        """Wait that long for the batch in hand."""
        self._loop.join(seconds)
        self._renewing.stop()

    def _round(self) -> float:
        if self._may_begin and not self._may_begin.wait(BLOCK_SECONDS):
            return 0.0
        if self._watch.recent() is not None:
            return PAUSE_SECONDS
        self._work(self._next_batch())
        return 0.0

    def _next_batch(self) -> list[Lease]:
        if time.monotonic() >= self._next_take_over:
            self._next_take_over = time.monotonic() + self._lease_seconds / 2
            abandoned = self._ledger.take_over(self._stage, self._consumer, self._batch_size)
            if abandoned:
                return abandoned
        return self._ledger.lease(self._stage, self._consumer, self._batch_size, BLOCK_SECONDS)

    def _work(self, leases: Sequence[Lease]) -> None:
        self._held = list(leases)
        for portion in _portions(leases):
            self._attempt(portion)
            self._held = self._held[len(portion) :]
        self._held = []

    def _attempt(self, leases: Sequence[Lease]) -> None:
        while not self._loop.stopping.is_set():
            try:
                work = self._ledger.load(leases)
                if work:
                    self._handler(work)
                return
            except RedisError as error:
                # Every call may be sent twice: what was recorded before stays as it is.
                self._watch.failed(self._waits, error)
                if trouble_of(error).kind is Kind.FAULT:
                    return
                self._loop.stopping.wait(PAUSE_SECONDS)
            except Exception as error:
                # The leases expire and the work is delivered again, ledger.max_attempts times.
                self._failures.tell(f"batch of {len(leases)} rollouts at stage {self._stage}", error)
                for lease in leases:
                    self._ledger.fail(lease, reason_of(error))
                return

    def _renew(self) -> float:
        self._ledger.renew(self._consumer, self._held)
        return self._lease_seconds / 3


def _portions(leases: Sequence[Lease]) -> list[Sequence[Lease]]:
    """What is handled together: a batch, but each by itself of those delivered before, since one of
    them may have been what failed.
    """
    again = any(lease.deliveries > 1 for lease in leases)
    return [[lease] for lease in leases] if again else [leases]
