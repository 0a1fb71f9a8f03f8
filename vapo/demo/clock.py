"""How long reinforcement learning has run, over the sessions of a demo. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TrainingClock:
    """Counts from the first moment of training in this session, on top of earlier sessions."""

    earlier: float
    """Seconds of earlier sessions."""
    started: float | None = None
    """Monotonic time at which training began in this session."""

    def start(self, now: float) -> None:
        """Training goes on; the first call counts."""
        if self.started is None:
            self.started = now

    def seconds(self, now: float) -> float:
        """Training time so far."""
        return self.earlier + (0.0 if self.started is None else now - self.started)
