"""What runs in a verifier process beside the HTTP server: the queue worker."""

from __future__ import annotations

from collections.abc import Mapping

from services.verifier.queue_judge import QueueJudge
from services.verifier.registry import names
from services.verifier.service import VerifierService
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.service import Endpoint, Part
from vapo.settings import Settings
from vapo.telemetry import new_registry


class VerifierPart(Part):
    """The queue's judgements; it is ready when Redis holds the run and takes its writes."""

    def __init__(self, settings: Settings, endpoint: Endpoint) -> None:
        metrics = new_registry()
        self.service = VerifierService(settings.verifier, metrics)
        ledger = Ledger.open(settings)
        super().__init__(settings, endpoint, ledger.watch, metrics)
        self._queue = QueueJudge(self.service, ledger, endpoint.name, settings.verifier.workers)

    def start(self) -> None:
        """Begin to work on the queue."""
        self._queue.start()

    def stop(self) -> None:
        """Finish quick work, end the worker processes."""
        self._queue.stop()
        self.service.close()
        self._queue.join()

    def member(self) -> Member:
        """READY, with the verifiers that a task may name."""
        return self.endpoint.member("READY", details={"verifiers": names()})

    def numbers(self) -> Mapping[str, float]:
        """The worker processes."""
        pool = self.service.pool
        return {"idle_workers": pool.ready_workers, "replaced_workers": pool.replaced}
