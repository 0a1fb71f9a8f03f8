"""What the ledger's calls cost per rollout, one by one and in pipelines, side by side in one run.

    python -m lab.benchmarks.ledger_throughput [--rollouts 2048] [--shortest 200] [--longest 400]
                                           [--round-trip-ms 0.5]

A real Redis with its append-only file. Blocks of rollouts alternate between the two ways, so that
other work on the machine slows both. The value service's and the trainer's calls are measured;
each ``load`` one by one is two round trips, each other call one. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from lab.benchmarks.long_rollouts import VERDICT, long_generated, long_task, long_values, training_note
from lab.benchmarks.private_redis import private_redis
from lab.benchmarks.slow_link import slow_link
from vapo.ledger import Lease, Ledger, Stage
from vapo.messages import Rollout
from vapo.settings import RedisSettings, Settings

BLOCK, SAMPLES, PROMPT_TOKENS = 256, 16, 200
Seconds = dict[str, list[float]]
"""Name of a call to its seconds: one by one, in pipelines."""


def main() -> None:
    """Print microseconds per rollout for each call, and what the whole took of Redis."""
    arguments = _arguments()
    seconds: Seconds = defaultdict(lambda: [0.0, 0.0])
    with private_redis() as redis, _reached(redis, arguments.round_trip_ms / 1000) as near:
        direct, ledger = _ledger(redis, arguments.rollouts), _ledger(near, arguments.rollouts)
        before, round_trip = _server(direct), _round_trip(ledger)
        tokens = fill(direct, arguments)
        for number in range(arguments.rollouts // BLOCK):
            way = number % 2
            score(ledger, seconds, way)
        for number in range(arguments.rollouts // BLOCK):
            train(ledger, seconds, number % 2)
        server = {name: value - before[name] for name, value in _server(direct).items()}
    report(arguments.rollouts, seconds, server, tokens, round_trip)


def report(rollouts: int, seconds: Seconds, server: dict[str, float], tokens: int, round_trip: float) -> None:
    """The tables."""
    half = rollouts / 2 * 1e-6
    print(f"{rollouts} rollouts, {tokens / rollouts:.0f} tokens on average, round trip {1000 * round_trip:.2f} ms")
    print(f"{'microseconds per rollout':26s} one by one  in pipelines  ratio")
    seconds["all"] = [sum(pair[way] for pair in seconds.values()) for way in (0, 1)]
    for name, (single, piped) in seconds.items():
        print(f"{name:26s} {single / half:10.0f}  {piped / half:12.0f}  {single / piped:5.1f}")
    for name, value in server.items():
        print(f"Redis, per rollout: {name} {value / rollouts:,.1f}")
    print(
        json.dumps(
            {
                "rollouts": rollouts,
                "tokens": tokens,
                "round_trip_ms": round(1000 * round_trip, 3),
                "microseconds": {name: [round(value / half, 1) for value in pair] for name, pair in seconds.items()},
                "redis_per_rollout": {name: value / rollouts for name, value in server.items()},
            }
        )
    )


def fill(ledger: Ledger, arguments: argparse.Namespace) -> int:
    """Bring all rollouts to the value service; returns their response tokens."""
    random, tokens = np.random.default_rng(0), 0
    for number in range(arguments.rollouts // SAMPLES):
        ledger.submit([long_task(f"t{number}", SAMPLES, PROMPT_TOKENS)])
        [lease] = ledger.lease_tasks("generator", 1, 0)
        for sample in lease.samples:
            length = int(random.integers(arguments.shortest, arguments.longest + 1))
            ledger.record_generated(lease.id, sample, long_generated(length, random))
            tokens += length
        ledger.finish_task_lease(lease)
        for held, rollout in ledger.load(ledger.lease(Stage.GENERATED, "verifier", SAMPLES, 1.0)):
            ledger.record_verdicts([(held, rollout, VERDICT)])
    return tokens


def score(ledger: Ledger, seconds: Seconds, way: int) -> None:
    """The value service's calls for one block of rollouts."""
    work = _leased(ledger, Stage.VERIFIED, seconds, way)
    values = [(lease, long_values(rollout.generated.token_ids.size)) for lease, rollout in work]
    _timed(
        seconds,
        "value: record",
        way,
        (lambda: [ledger.record_values([pair]) for pair in values], lambda: ledger.record_values(values)),
    )


def train(ledger: Ledger, seconds: Seconds, way: int) -> None:
    """The trainer's calls for one block of rollouts."""
    work = _leased(ledger, Stage.SCORED, seconds, way)
    notes = [(lease.id, training_note(rollout.generated.token_ids.size)) for lease, rollout in work]
    held = [(lease.entry, lease.id) for lease, _ in work]
    _timed(
        seconds,
        "trainer: mark trained",
        way,
        (lambda: [ledger.mark_trained([note]) for note in notes], lambda: ledger.mark_trained(notes)),
    )
    _timed(
        seconds,
        "trainer: acknowledge",
        way,
        (lambda: [ledger.acknowledge([pair]) for pair in held], lambda: ledger.acknowledge(held)),
    )
    while ledger.trim():
        continue


def _leased(ledger: Ledger, stage: Stage, seconds: Seconds, way: int) -> list[tuple[Lease, Rollout]]:
    consumer = "value" if stage is Stage.VERIFIED else "trainer"
    leases = ledger.lease(stage, consumer, BLOCK, 1.0)
    work: list[tuple[Lease, Rollout]] = []
    _timed(
        seconds,
        f"{consumer}: load",
        way,
        (
            lambda: work.extend(pair for lease in leases for pair in ledger.load([lease])),
            lambda: work.extend(ledger.load(leases)),
        ),
    )
    return work


def _timed(seconds: Seconds, name: str, way: int, ways: Sequence[Callable[[], object]]) -> None:
    start = time.perf_counter()
    ways[way]()
    seconds[name][way] += time.perf_counter() - start


@contextmanager
def _reached(redis: RedisSettings, round_trip_seconds: float) -> Iterator[RedisSettings]:
    if not round_trip_seconds:
        yield redis
        return
    address, _, port = redis.url.removesuffix("/0").rpartition(":")
    with slow_link(int(port), round_trip_seconds) as relay:
        yield redis.model_copy(update={"url": f"{address}:{relay}/0"})


def _ledger(redis: RedisSettings, rollouts: int) -> Ledger:
    return Ledger.open(
        Settings.model_validate(
            {
                "run": {"name": "benchmark"},
                "redis": redis.model_dump(),
                "sampling": {"samples_per_prompt": SAMPLES},
                "trainer": {"prompts_per_step": rollouts // SAMPLES, "mini_batch_rollouts": 1},
                "ledger": {"retained_rollouts": 0},
            }
        )
    )


def _round_trip(ledger: Ledger) -> float:
    """Median seconds of a PING."""
    seconds = []
    for _ in range(101):
        start = time.perf_counter()
        ledger.redis.ping()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _server(ledger: Ledger) -> dict[str, float]:
    """What Redis has used so far: microseconds of CPU, bytes in and out."""
    told = ledger.redis.info("everything")
    return {
        "CPU microseconds": 1e6 * (told["used_cpu_user"] + told["used_cpu_sys"]),
        "bytes in": told["total_net_input_bytes"],
        "bytes out": told["total_net_output_bytes"],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=2048, help=f"a multiple of {2 * BLOCK}")
    parser.add_argument("--shortest", type=int, default=200, help="response tokens")
    parser.add_argument("--longest", type=int, default=400, help="response tokens")
    parser.add_argument(
        "--round-trip-ms", type=float, default=0.0, help="added to each round trip between client and Redis"
    )
    arguments = parser.parse_args()
    if arguments.rollouts % (2 * BLOCK):
        parser.error(f"--rollouts must be a multiple of {2 * BLOCK}")
    return arguments


if __name__ == "__main__":
    main()
