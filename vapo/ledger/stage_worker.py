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
from vapo.ledger.trouble import Kind, trouble_of
from vapo.messages import Rollout
from vapo.telemetry.failure_log import FailureLog, reason_of

logger = logging.getLogger(__name__)

Work = list[tuple[Lease, Rollout]]
Handler = Callable[[Work], None]
"""Does the work and records the results in the ledger."""

BLOCK_SECONDS = 0.5
REDIS_RETRY_SECONDS = 1.0


class StageWorker:
    """Feeds rollouts waiting at one stage to a handler, in batches."""

    def __init__(self, ledger: Ledger, stage: Stage, consumer: str, handler: Handler, batch_size: int) -> None:
        self._ledger, self._stage, self._consumer = ledger, stage, consumer
        self._handler, self._batch_size = handler, batch_size
        self._watch = ledger.watch
        self._lease_seconds = ledger.settings.ledger.lease_seconds
        self._held: list[Lease] = []
        self._failures = FailureLog(logger)
        self._stopping = threading.Event()
        self._next_take_over = 0.0

    def run(self) -> None:
        """Work until :meth:`stop`; meant for a thread."""
        renewer = threading.Thread(target=self._renew_until_stopped, daemon=True, name=f"renew-{self._stage}")
        renewer.start()
        while not self._stopping.is_set():
            try:
                self._work(self._next_batch())
            except RedisError as error:
                self._watch.failed(f"stage {self._stage}", error)
                self._stopping.wait(REDIS_RETRY_SECONDS)
        renewer.join(timeout=self._lease_seconds)

    def stop(self) -> None:
        """Finish the batch in hand, then return from :meth:`run`."""
        self._stopping.set()

    def _next_batch(self) -> list[Lease]:
        if self._watch.recent() is not None:
            self._stopping.wait(REDIS_RETRY_SECONDS)
            return []
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
        while not self._stopping.is_set():
            try:
                work = self._ledger.load(leases)
                if work:
                    self._handler(work)
                return
            except RedisError as error:
                # Every call may be sent twice: what was recorded before stays as it is.
                self._watch.failed(f"stage {self._stage}", error)
                if trouble_of(error).kind is Kind.FAULT:
                    return
                self._stopping.wait(REDIS_RETRY_SECONDS)
            except Exception as error:
                # The leases expire and the work is delivered again, ledger.max_attempts times.
                self._failures.tell(f"batch of {len(leases)} rollouts at stage {self._stage}", error)
                for lease in leases:
                    self._ledger.fail(lease, reason_of(error))
                return

    def _renew_until_stopped(self) -> None:
        while not self._stopping.wait(self._lease_seconds / 3):
            try:
                self._ledger.renew(self._consumer, self._held)
            except RedisError as error:
                self._watch.failed("leases not renewed", error)


def _portions(leases: Sequence[Lease]) -> list[Sequence[Lease]]:
    """What is handled together: a batch, but each by itself of those delivered before, since one of
    them may have been what failed.
    """
    again = any(lease.deliveries > 1 for lease in leases)
    return [[lease] for lease in leases] if again else [leases]
