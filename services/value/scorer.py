"""The one thread that runs the critic: batches what waits, swaps weights in between.

Invariants:
- all responses of a request are scored under one version, which is returned with the values;
- weights change only between batches;
- a request's values do not depend on what it is batched with (:mod:`vapo.model.critic`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from services.value.replica import PreparedWeights, Replica
from vapo.messages import Floats
from vapo.model.packing import TokenSequence

STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)

Order = TypeVar("Order")


class ScorerClosed(RuntimeError):
    """The service is shutting down."""


@dataclass(frozen=True)
class Scored:
    """Values of the responses of one request."""

    values: list[Floats]
    """One float32 array of L + 1 values per response."""
    critic_version: int


@dataclass(frozen=True)
class _Request:
    sequences: list[TokenSequence]
    tokens: int
    answer: Future[Scored]


@dataclass(frozen=True)
class _Swap:
    weights: PreparedWeights
    answer: Future[None]


class Scorer:
    """Owns the replica from :meth:`start` to :meth:`stop`. Thread-safe."""

    def __init__(self, replica: Replica, token_budget: int) -> None:
        """``token_budget``: tokens after which a batch takes no further request."""
        self._replica, self._token_budget = replica, token_budget
        self._requests: deque[_Request] = deque()
        self._swaps: deque[_Swap] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)
        self.scored_responses = 0
        self.scored_tokens = 0

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch in hand; what waits gets ScorerClosed."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=STOP_SECONDS)
        waiting: list[_Request | _Swap] = [*self._requests, *self._swaps]
        for order in waiting:
            if order.answer.set_running_or_notify_cancel():
                order.answer.set_exception(ScorerClosed("the value service is shutting down"))

    def submit(self, sequences: Sequence[TokenSequence]) -> Future[Scored]:
        """Score responses under one version.

        Raises:
            UnfitTokens: one of them cannot be read by this model; nothing is scored.
            ScorerClosed: the service is shutting down.
        """
        for sequence in sequences:
            self.check(sequence)
        tokens = sum(sequence.length for sequence in sequences)
        request = _Request(list(sequences), tokens, Future())
        self._put(self._requests, request)
        return request.answer

    def check(self, sequence: TokenSequence) -> None:
        """Raises UnfitTokens when this model cannot read ``sequence``."""
        self._replica.check(sequence)

    def swap(self, weights: PreparedWeights) -> Future[None]:
        """Put ``weights`` in place after the batch in hand; the answer fails if they do not fit."""
        swap = _Swap(weights, Future())
        self._put(self._swaps, swap)
        return swap.answer

    def _put(self, orders: deque[Order], order: Order) -> None:
        with self._changed:
            if self._closed:
                raise ScorerClosed("the value service is shutting down")
            orders.append(order)
            self._changed.notify()

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._requests or self._swaps)
                swaps, batch = self._take()
            for swap in swaps:
                self._install(swap)
            if batch:
                self._score(batch)

    def _take(self) -> tuple[list[_Swap], list[_Request]]:
        """What to do next: all swaps, then waiting requests up to the token budget."""
        if self._closed:
            return [], []
        swaps = [swap for swap in self._swaps if swap.answer.set_running_or_notify_cancel()]
        self._swaps.clear()
        batch: list[_Request] = []
        tokens = 0
        while self._requests and tokens < self._token_budget:
            request = self._requests.popleft()
            if request.answer.set_running_or_notify_cancel():  # else its caller has gone
                batch.append(request)
                tokens += request.tokens
        return swaps, batch

    def _score(self, batch: list[_Request]) -> None:
        sequences = [sequence for request in batch for sequence in request.sequences]
        version = self._replica.version.version
        try:
            values = iter(self._replica.score(sequences))
        except Exception as error:
            logger.exception("scoring %d responses failed", len(sequences))
            for request in batch:
                request.answer.set_exception(error)
            return
        self.scored_responses += len(sequences)
        self.scored_tokens += sum(request.tokens for request in batch)
        for request in batch:
            own = [next(values) for _ in request.sequences]
            request.answer.set_result(Scored(own, version))

    def _install(self, swap: _Swap) -> None:
        try:
            self._replica.install(swap.weights)
        except Exception as error:
            swap.answer.set_exception(error)
        else:
            swap.answer.set_result(None)
