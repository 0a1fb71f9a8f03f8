"""Whether a generator may be used: STALE, LOADING, READY or DEAD. Pure; no I/O, no sleeping.

Invariants:
- READY is entered only from LOADING, by proof that the engine computes with the loaded weights;
- DEAD is entered when the heartbeat stops or the engine fails. A failed engine stays DEAD; one that
  was only silent comes back as STALE (or LOADING, if it was): it may have missed publications, so
  it must prove weights again before it is READY;
- every event is a sign of life;
- the version is the one last proven, and never falls.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """What a generator is good for."""

    STALE = "STALE"
    """Its weights are unproven or behind; it must not be used."""
    LOADING = "LOADING"
    """New weights are on their way in; requests wait."""
    READY = "READY"
    """Its weights are proven."""
    DEAD = "DEAD"
    """It has not been heard of, or its engine failed."""


class TransitionError(RuntimeError):
    """An event that cannot happen in the present state: a bug in the caller."""


class GeneratorState:
    """The state machine of one generator.

    Args:
        clock: seconds, rising (``time.monotonic``; injected so that tests need no waiting).
        silence_limit_seconds: heartbeat silence after which it is DEAD.
    """

    def __init__(self, clock: Callable[[], float], silence_limit_seconds: float) -> None:
        self._clock, self._limit = clock, silence_limit_seconds
        self._state, self._version = State.STALE, 0
        self._target: int | None = None
        self._reason = "no weights have been proven yet"
        self._engine_failure: str | None = None
        self._last_beat = clock()

    @property
    def state(self) -> State:
        """The state now, silence included."""
        if self._state is not State.DEAD and self._clock() - self._last_beat > self._limit:
            self._enter(State.DEAD, f"no heartbeat for more than {self._limit:g} s")
        return self._state

    @property
    def version(self) -> int:
        """Weight version proven last; 0 is the base model."""
        return self._version

    @property
    def reason(self) -> str:
        """Why it is not READY; empty when it is."""
        return "" if self.state is State.READY else self._reason

    @property
    def engine_failure(self) -> str | None:
        """Why the engine is gone for good, or None."""
        return self._engine_failure

    def beat(self) -> None:
        """The generator showed that it lives."""
        if self._engine_failure is not None:
            return
        if self.state is State.DEAD:
            self._enter(
                State.STALE if self._target is None else State.LOADING, "it was away; weights must be proven again"
            )
        self._last_beat = self._clock()

    def load_started(self, version: int) -> None:
        """Loading of ``version`` began.

        Raises:
            TransitionError: it is loading already or DEAD, or ``version`` is older than the proven.
        """
        self._require(State.STALE, State.READY, event="load_started")
        if version < self._version:
            raise TransitionError(f"version {version} is older than the proven {self._version}")
        self._target = version
        self._enter(State.LOADING, f"weights version {version} are being loaded")

    def load_proved(self, version: int) -> None:
        """The engine was seen to compute with ``version``."""
        self._require(State.LOADING, event="load_proved")
        if version != self._target:
            raise TransitionError(f"version {version} was proven, {self._target} was being loaded")
        self._version, self._target = version, None
        self._enter(State.READY, "")

    def load_failed(self, reason: str) -> None:
        """The load ended without proof; what the engine computes with is unknown."""
        self._require(State.LOADING, event="load_failed")
        self._target = None
        self._enter(State.STALE, reason)

    def engine_failed(self, reason: str) -> None:
        """The engine is gone; only a restart helps, heartbeats do not."""
        self._engine_failure = reason
        self._enter(State.DEAD, reason)

    def _require(self, *allowed: State, event: str) -> None:
        self.beat()
        if self.state not in allowed:
            raise TransitionError(f"{event} in state {self._state}: {self._reason}")

    def _enter(self, state: State, reason: str) -> None:
        self._state, self._reason = state, reason
