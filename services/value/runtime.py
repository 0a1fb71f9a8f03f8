"""What runs in a value process beside the HTTP server: scorer, weights, queue worker, heartbeat."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from services.value.calibration import Calibration
from services.value.critic_follower import CriticFollower
from services.value.replica import Replica
from services.value.scorer import Scorer
from services.value.worker import ValueWorker
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.service import Heartbeat, member_name
from vapo.settings import Settings
from vapo.telemetry import MappingCollector
from vapo.weights import WeightChannel
from vapo.weights.from_settings import transport_for


class Runtime:
    """Starts and stops with the HTTP server."""

    def __init__(self, settings: Settings, replica: Replica, metrics: CollectorRegistry, url: str) -> None:
        self._url, self._name = url, member_name("value")
        self._replica = replica
        self._ledger = Ledger.open(settings)
        self._calibration = Calibration()
        self.scorer = Scorer(replica, settings.value.token_budget)
        self._transport = transport_for(settings)
        self._follower = CriticFollower(
            WeightChannel(self._ledger.redis, self._ledger.keys), self._transport, self.scorer
        )
        self._worker = ValueWorker(self.scorer, self._ledger, self._name, self._calibration, self._follower.caught_up)
        seconds = settings.ledger.heartbeat_seconds
        self._heartbeat = Heartbeat(self._ledger.watch, self._member, seconds)
        metrics.register(MappingCollector("vapo_value", "Value service", self.numbers))

    def start(self) -> None:
        """Score over HTTP at once, and from the queue once the newest critic is in use."""
        self.scorer.start()
        self._follower.start()
        self._worker.start()
        self._heartbeat.start()

    def stop(self) -> None:
        """Finish the batch in hand and leave the fleet."""
        self._worker.stop()
        self.scorer.stop()
        self._transport.close()
        self._follower.stop()
        self._heartbeat.stop()

    def unready_reason(self) -> str | None:
        """Why it should get no traffic, or None."""
        trouble = self._ledger.watch.reason()
        if trouble is None and not self._follower.caught_up.is_set():
            return self._follower.failure or "loading the newest critic"
        return trouble

    def weights(self) -> dict[str, Any]:
        """The answer of ``/v1/weights``."""
        version = self._replica.version
        return {
            "version": version.version,
            "step": version.step,
            "sha256": version.sha256,
            "state": str(self._follower.state),
            "failure": self._follower.failure,
            "swapped_at": self._follower.swapped_at,
        }

    def numbers(self) -> dict[str, float]:
        """Metrics, also shown in the fleet."""
        return {
            "critic_version": self._replica.version.version,
            "scored_responses": self.scorer.scored_responses,
            "scored_tokens": self.scorer.scored_tokens,
            **self._calibration.read(),
        }

    def _member(self) -> Member:
        version = self._replica.version.version
        state = str(self._follower.state)
        return Member(
            self._name, "value", self._url, state, version, self.numbers(), reason=self._follower.failure or ""
        )
