"""What runs in a value process beside the HTTP server: scorer, weights, queue worker."""

from __future__ import annotations

from typing import Any

from services.value.calibration import Calibration
from services.value.critic_follower import CriticFollower
from services.value.queue_scorer import QueueScorer
from services.value.replica import Replica
from services.value.scorer import Scorer
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.service import Endpoint, Part
from vapo.settings import Settings
from vapo.weights import WeightChannel
from vapo.weights.from_settings import transport_for


class ValuePart(Part):
    """The critic's replica and what feeds it."""

    def __init__(self, settings: Settings, endpoint: Endpoint, replica: Replica) -> None:
        ledger = Ledger.open(settings)
        super().__init__(settings, endpoint, ledger.watch)
        self._replica = replica
        self._calibration = Calibration()
        self.scorer = Scorer(replica, settings.value.token_budget)
        self._transport = transport_for(settings)
        self._follower = CriticFollower(WeightChannel(ledger.redis, ledger.keys), self._transport, self.scorer)
        self._queue = QueueScorer(self.scorer, ledger, endpoint.name, self._calibration, self._follower.caught_up)

    def start(self) -> None:
        """Score over HTTP at once, and from the queue once the newest critic is in use."""
        self.scorer.start()
        self._follower.start()
        self._queue.start()

    def stop(self) -> None:
        """Finish the batch in hand."""
        self._queue.stop()
        self.scorer.stop()
        self._transport.close()
        self._follower.stop()

    def unready_reason(self) -> str | None:
        """Why it should get no traffic, or None."""
        trouble = self.watch.reason()
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

    def member(self) -> Member:
        """How its critic stands to the newest one."""
        follower = self._follower
        version = self._replica.version.version
        return self.endpoint.member(str(follower.state), version, self.numbers(), reason=follower.failure or "")
