"""The planner against published runs of other systems: what they report, what it would have said.

    python -m lab.benchmarks.planned_vs_published

Overlap: predicted is how much faster a step is once generation and training overlap, on the best
split of the same GPUs, instead of following one another on all of them. What decides it is how long
the last responses run after the bulk is done, which nobody publishes; so three cases are shown.
Weights: bytes over the bandwidth, or over a line through two published times, for a third.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vapo.planning.closed_forms import best_split, with_split
from vapo.planning.quantities import ModelSize, Rates, Workload
from vapo.planning.simulation import simulate

GENERATION_SHARE = 0.6
"""Of a synchronous step; assumed. What is predicted hardly depends on it."""
BULKS = (2.0, 0.5, 0.2)
"""Time that all tokens of a batch take at full load, over that of its longest response alone."""
STEPS, WARM_UP = 12, 4


@dataclass(frozen=True)
class Published:
    """A synchronous and an overlapped run of the same work."""

    name: str
    work: Workload
    """Lengths as far as published; spread and staleness as assumed."""
    gpus: int
    alone: float
    """Tokens per second of one response alone, assumed."""
    published: float
    """Synchronous over overlapped time."""


RUNS = (
    Published(
        "NeMo-RL 0.6, Qwen3-30B-A3B, 32 H100, one step off: 192 -> 152 s",
        Workload(128, 16, 3200, 4096, 0.4),
        32,
        100.0,
        192 / 152,
    ),
    Published(
        "NeMo-RL 0.6, Qwen3-235B, one step off: 395 -> 231 s", Workload(128, 16, 3200, 4096, 0.4), 64, 60.0, 395 / 231
    ),
    Published(
        "AReaL 1.5B, 128 GPUs, staleness 4: 41.0 -> 14.8 h",
        Workload(64, 16, 8000, 27648, 0.8, max_staleness=4),
        16,
        120.0,
        41.0 / 14.8,
    ),
    Published(
        "AReaL 7B, 192 GPUs, staleness 4: 57.7 -> 25.4 h",
        Workload(43, 16, 8000, 27648, 0.8, max_staleness=4),
        16,
        80.0,
        57.7 / 25.4,
    ),
)
"""AReaL's batch of 8,192 is scaled down with its GPUs; work per GPU is what counts."""

WEIGHTS = (
    ("verl checkpoint engine, Qwen3-30B, 8.25 GB/s", 7.0, ModelSize(30.5e9).weight_bytes / 8.25e9),
    (
        "verl NCCL, Qwen2.5-72B, from 7B (5.75 s) and 32B (17.9 s)",
        28.8,
        5.75 + (72.7 - 7.6) * (17.9 - 5.75) / (32.8 - 7.6),
    ),
)


def main() -> None:
    """Print both tables."""
    print(f"| overlapped run | published speed-up | predicted, bulk over longest {BULKS} |\n|---|---|---|")
    for run in RUNS:
        predicted = ", ".join(f"{value:.2f}x" for value in speed_ups(run))
        print(f"| {run.name} | {run.published:.2f}x | {predicted} |")
    print("\n| weight sync | published | predicted |\n|---|---|---|")
    for name, published, seconds in WEIGHTS:
        print(f"| {name} | {published:g} s | {seconds:.1f} s |")


def speed_ups(run: Published) -> Iterator[float]:
    """Synchronous over overlapped step, for each proportion of bulk and longest response."""
    together = replace(run.work, max_staleness=0)
    for bulk in BULKS:
        rates = Rates(run.gpus, *_fit(run, together, bulk), sequences=256, sequence_tokens_per_second=run.alone)
        synchronous = simulate(together, rates, STEPS, WARM_UP).step_seconds
        one_each = replace(rates, trainer_tokens_per_second=rates.trainer_tokens_per_second / run.gpus)
        guess, _ = best_split(run.work, one_each, run.gpus, 1)
        # Long tails want more generators than the closed form says.
        yield max(
            synchronous / _overlapped(run, one_each, count)
            for count in range(max(1, guess - 4), min(run.gpus - 1, guess + 4) + 1, 2)
        )


def _overlapped(run: Published, one_each: Rates, generators: int) -> float:
    rates = with_split(one_each, generators, run.gpus - generators)
    return simulate(run.work, rates, STEPS, WARM_UP).step_seconds


def _fit(run: Published, work: Workload, bulk: float) -> tuple[float, float]:
    """Tokens per second of one GPU that generates, and of all of them training."""
    tokens = work.rollouts * work.response_tokens
    rate = tokens / run.gpus / (bulk * work.longest_response / run.alone)
    rates = Rates(run.gpus, rate, 1e15, 256, run.alone)
    generation = simulate(work, rates, STEPS, WARM_UP).step_seconds
    return rate, tokens / (generation * (1 - GENERATION_SHARE) / GENERATION_SHARE)


if __name__ == "__main__":
    main()
