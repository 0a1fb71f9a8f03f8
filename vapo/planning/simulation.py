"""A run's timing, event by event: generators that share a queue, a trainer, admission between them.

The model, no finer than what is asked of it:
- responses are begun while places and admission allow, under the weights of that moment; the
  responses in flight share the fleet's tokens per second, none faster than alone;
- generators pull their work, so the fleet is one pool; what prompts cost is in its measured rate;
- the trainer takes the oldest finished rollouts as soon as a batch is there, works for
  tokens / rate, publishes, frees their slots; every generator then stands still for a moment;
- a rollout older than the limit when its batch is formed is dropped and made again.

Invariants: seeded; between two events nothing changes but progress, so there is no time step.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from vapo.planning.lengths import draw_lengths
from vapo.planning.quantities import Rates, Workload

NEVER = float("inf")


@dataclass(frozen=True)
class Step:
    """One training step."""

    begun: float
    """Seconds since the start when its batch was there."""
    seconds: float
    """Trainer's work."""
    staleness_mean: float
    staleness_max: int
    tokens: float


@dataclass(frozen=True)
class SimulatedAverages:
    """Averages over the steps after the first few."""

    step_seconds: float
    trainer_busy: float
    """Share of the time the trainer works."""
    generators_busy: float
    """Tokens made over tokens that the fleet could have made."""
    staleness_mean: float
    staleness_max: int
    dropped_fraction: float
    """Rollouts made and thrown away, of all made."""
    tokens_per_second: float
    """Trained on."""


@dataclass(order=True)
class _Response:
    ends_at: float
    """On the clock of tokens per response (``_Fleet.progress``)."""
    number: int
    tokens: float = field(compare=False)
    step: int = field(compare=False)
    """Training steps its weights have seen."""


class _Fleet:
    """All responses in flight, sharing the rate."""

    def __init__(self, rates: Rates) -> None:
        self._rate = rates.fleet_tokens_per_second
        self._alone = rates.sequence_tokens_per_second or NEVER
        self.places = rates.generators * rates.sequences
        self.flying: list[_Response] = []
        self.progress = 0.0
        self.made = 0.0

    def speed(self) -> float:
        """Tokens per second of each response."""
        return min(self._rate / len(self.flying), self._alone) if self.flying else 0.0

    def seconds_to_next(self) -> float:
        """Until a response ends."""
        if not self.flying:
            return NEVER
        return max(0.0, self.flying[0].ends_at - self.progress) / self.speed()

    def advance(self, seconds: float) -> None:
        """Let all make progress."""
        tokens = self.speed() * seconds
        self.progress += tokens
        self.made += tokens * len(self.flying)

    def begin(self, number: int, tokens: float, step: int) -> None:
        """Begin a response."""
        heapq.heappush(self.flying, _Response(self.progress + tokens, number, tokens, step))


class _Run:
    def __init__(self, work: Workload, rates: Rates, seed: int) -> None:
        self._work, self._rates = work, rates
        self._random = np.random.default_rng(seed)
        self._lengths: deque[float] = deque()
        self._fleet = _Fleet(rates)
        self._finished: deque[_Response] = deque()
        self._now, self._number = 0.0, 0
        self._training: list[_Response] = []
        self._trained_at, self._moves_at = NEVER, 0.0
        self._admitted = self._dropped = 0
        self.steps: list[Step] = []
        self._steps_done = 0

    def until(self, steps: int) -> None:
        """Go on until so many steps are done."""
        while self._steps_done < steps:
            self._begin_responses()
            self._begin_training()
            self._next_event()

    def since(self, first: int) -> SimulatedAverages:
        """Averages from step ``first`` on."""
        steps = self.steps[first:]
        last = steps[-1]
        seconds = last.begun + last.seconds - self._begin_of(first)
        tokens = sum(step.tokens for step in steps)
        rollouts = len(self.steps) * self._work.rollouts
        return SimulatedAverages(
            step_seconds=seconds / len(steps),
            trainer_busy=sum(step.seconds for step in steps) / seconds,
            generators_busy=min(1.0, self._fleet.made / (self._rates.fleet_tokens_per_second * self._now)),
            staleness_mean=float(np.mean([step.staleness_mean for step in steps])),
            staleness_max=max(step.staleness_max for step in steps),
            dropped_fraction=self._dropped / (self._dropped + rollouts),
            tokens_per_second=tokens / seconds,
        )

    def _begin_of(self, step: int) -> float:
        before = self.steps[step - 1] if step else None
        return before.begun + before.seconds if before else 0.0

    def _begin_responses(self) -> None:
        fleet = self._fleet
        while len(fleet.flying) < fleet.places and self._admitted < self._work.capacity:
            if not self._lengths:
                self._lengths.extend(draw_lengths(self._work, 4096, self._random).tolist())
            fleet.begin(self._number, self._lengths.popleft(), self._steps_done)
            self._number += 1
            self._admitted += 1

    def _begin_training(self) -> None:
        if self._training or len(self._finished) < self._work.rollouts:
            return
        self._drop_stale()
        if len(self._finished) < self._work.rollouts:
            self._begin_responses()
            return
        batch = [self._finished.popleft() for _ in range(self._work.rollouts)]
        tokens = sum(response.tokens for response in batch)
        seconds = tokens / self._rates.trainer_tokens_per_second + self._rates.publish_seconds
        ages = [self._steps_done - response.step for response in batch]
        self._training, self._trained_at = batch, self._now + seconds
        self.steps.append(Step(self._now, seconds, float(np.mean(ages)), max(ages), tokens))

    def _drop_stale(self) -> None:
        oldest = self._steps_done - self._work.max_staleness
        fresh = deque(response for response in self._finished if response.step >= oldest)
        self._dropped += len(self._finished) - len(fresh)
        self._admitted -= len(self._finished) - len(fresh)
        self._finished = fresh

    def _next_event(self) -> None:
        pause = max(0.0, self._moves_at - self._now)
        ends_at = self._now + pause + self._fleet.seconds_to_next()
        at = min(ends_at, self._trained_at)
        if at == NEVER:
            raise RuntimeError("nothing can happen any more; the simulation is wrong")
        self._fleet.advance(max(0.0, at - self._now - pause))
        self._now = at
        if at == ends_at:
            self._finished.append(heapq.heappop(self._fleet.flying))
        else:
            self._end_training()

    def _end_training(self) -> None:
        self._steps_done += 1
        self._admitted -= len(self._training)
        self._training, self._trained_at = [], NEVER
        self._moves_at = self._now + self._rates.standstill_seconds


def simulate(work: Workload, rates: Rates, steps: int = 40, warm_up: int = 10, seed: int = 0) -> SimulatedAverages:
    """Simulate ``steps`` training steps and average over all but the first ``warm_up``.

    Raises:
        ValueError: lengths that cannot be, or no step left to average over.
    """
    if not 0 <= warm_up < steps:
        raise ValueError(f"warm_up={warm_up} must be below steps={steps}")
    run = _Run(work, rates, seed)
    run.until(steps)
    return run.since(warm_up)
