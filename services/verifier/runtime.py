"""What runs in a verifier process beside the HTTP server: the queue worker and the heartbeat."""

from __future__ import annotations

from services.verifier.registry import names
from services.verifier.service import VerifierService
from services.verifier.worker import VerifierWorker
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.service import Heartbeat, member_name
from vapo.settings import Settings


class Runtime:
    """Starts and stops with the HTTP server."""

    def __init__(self, settings: Settings, service: VerifierService, url: str) -> None:
        self._service, self._url = service, url
        self._name = member_name("verifier")
        self._ledger = Ledger.open(settings)
        self._worker = VerifierWorker(service, self._ledger, self._name, settings.verifier.workers)
        seconds = settings.ledger.heartbeat_seconds
        self._heartbeat = Heartbeat(self._ledger.watch, self._member, seconds)

    def start(self) -> None:
        """Begin to work on the queue and to be seen."""
        self._worker.start()
        self._heartbeat.start()

    def stop(self) -> None:
        """Finish quick work, end the worker processes, leave the fleet."""
        self._worker.stop()
        self._service.close()
        self._worker.join()
        self._heartbeat.stop()

    def unready_reason(self) -> str | None:
        """None when Redis holds the run and takes its writes: then a verifier is ready."""
        return self._ledger.watch.reason()

    def _member(self) -> Member:
        details = {"verifiers": names()}
        return Member(self._name, "verifier", self._url, "READY", details=details)
