"""Bytes that a rollout takes in Redis, stage by stage, and the line through them.

    python -m lab.benchmarks.ledger_bytes [--lengths 1000 8000 14000 20000]

Real records in a real Redis, read with MEMORY USAGE. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from lab.benchmarks.long_rollouts import VERDICT, long_generated, long_task, long_values, training_note
from lab.benchmarks.private_redis import private_redis
from vapo.ledger import Ledger, Stage
from vapo.settings import RedisSettings, Settings

PROMPT_TOKENS = 200
SAMPLES = 16
STAGES = ("generated", "verified", "scored", "trained")


def main() -> None:
    """Print a table: one line a length, one column a stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[1000, 8000, 14000, 20000])
    lengths = parser.parse_args().lengths
    with private_redis() as redis:
        measured = {length: stage_bytes(redis, length) for length in lengths}
        tasks = task_bytes(redis)
    print("tokens  " + "".join(f"{stage:>12}" for stage in STAGES) + "   bytes/token when trained")
    for length, sizes in measured.items():
        print(f"{length:6d}  " + "".join(f"{size:12,d}" for size in sizes) + f"   {sizes[-1] / length:.2f}")
    slopes = {
        stage: round(slope(lengths, [measured[length][column] for length in lengths]), 2)
        for column, stage in enumerate(STAGES)
    }
    print("slope   " + "".join(f"{value:12.2f}" for value in slopes.values()) + "   bytes/token")
    print(
        f"a task of {SAMPLES} samples and {PROMPT_TOKENS} prompt tokens: {tasks[0]:,} bytes, "
        f"{tasks[1]:,} once its payload is trimmed"
    )
    print(json.dumps({"bytes": measured, "bytes_per_token": slopes, "task": tasks}))


def stage_bytes(redis: RedisSettings, tokens: int) -> list[int]:
    """Bytes of one rollout's hash after each stage."""
    ledger = _ledger(redis, f"length-{tokens}")
    sizes = []
    ledger.submit([long_task("t", 1, PROMPT_TOKENS)])
    ledger.lease_tasks("generator", 1, 0)
    ledger.record_generated("t", 0, long_generated(tokens, np.random.default_rng(0)))
    sizes.append(_usage(ledger, ledger.keys.rollout("t.0")))
    [(lease, rollout)] = ledger.load(ledger.lease(Stage.GENERATED, "verifier", 1, 1.0))
    ledger.record_verdicts([(lease, rollout, VERDICT)])
    sizes.append(_usage(ledger, ledger.keys.rollout("t.0")))
    [lease] = ledger.lease(Stage.VERIFIED, "value", 1, 1.0)
    ledger.record_values([(lease, long_values(tokens))])
    sizes.append(_usage(ledger, ledger.keys.rollout("t.0")))
    ledger.mark_trained([("t.0", training_note(tokens))])
    sizes.append(_usage(ledger, ledger.keys.rollout("t.0")))
    ledger.redis.close()
    return sizes


def task_bytes(redis: RedisSettings) -> tuple[int, int]:
    """Bytes of a task's hash with its payload, and after all of its rollouts were trimmed."""
    ledger = _ledger(redis, "task")
    ledger.submit([long_task("t", SAMPLES, PROMPT_TOKENS)])
    ledger.lease_tasks("generator", 1, 0)
    for sample in range(SAMPLES):
        ledger.record_generated("t", sample, long_generated(3, np.random.default_rng(sample)))
    for lease, rollout in ledger.load(ledger.lease(Stage.GENERATED, "verifier", SAMPLES, 1.0)):
        ledger.record_verdicts([(lease, rollout, VERDICT)])
    for lease in ledger.lease(Stage.VERIFIED, "value", SAMPLES, 1.0):
        ledger.drop([lease], "benchmark", requeue=False)
    full = _usage(ledger, ledger.keys.task("t"))
    ledger.trim()
    trimmed = _usage(ledger, ledger.keys.task("t"))
    ledger.redis.close()
    return full, trimmed


def slope(x: Sequence[int], y: Sequence[int]) -> float:
    """Least-squares slope of ``y`` over ``x``; the only ratio when there is one point."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else y[0] / x[0]


def _ledger(redis: RedisSettings, name: str) -> Ledger:
    return Ledger.open(
        Settings.model_validate(
            {"run": {"name": name}, "redis": redis.model_dump(), "ledger": {"retained_rollouts": 0}}
        )
    )


def _usage(ledger: Ledger, key: str) -> int:
    return int(ledger.redis.memory_usage(key, samples=0))


if __name__ == "__main__":
    main()
