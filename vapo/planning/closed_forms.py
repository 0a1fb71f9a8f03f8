"""Closed forms: rates, bytes and memory of a run (derived in docs/scaling.md).

Where lengths are all alike, the generators have places enough and weights are loaded in no time
they are exact in the long run, and the simulation (:mod:`vapo.planning.simulation`) agrees with
them. A standstill can cost more than is counted here: it holds up the last responses of a batch.
"""

from __future__ import annotations

import math

from vapo.planning.quantities import Deployment, ModelSize, Rates, Workload

RECORD_BYTES_PER_TOKEN = 24
"""In Redis, of a trained rollout: ids 4, log-probs 4, text 4, values 4, the trainer's note 8
(``lab/benchmarks/ledger_bytes.py``)."""
RECORD_BYTES = 1300
"""And besides, of a rollout of any length."""
WIRE_IN_PER_TOKEN, WIRE_OUT_PER_TOKEN = 24, 40
"""Into Redis: each field once. Out: to verifier (12), value service (12), trainer (16)."""
WIRE_IN_BYTES, WIRE_OUT_BYTES = 2000, 3000
REDIS_SECONDS, REDIS_SECONDS_PER_TOKEN = 3.4e-4, 1.0e-7
"""Of Redis' one thread per rollout (``lab/benchmarks/ledger_throughput.py``, two shared x86 cores)."""
TASK_MEMORY_BYTES = 2072
"""Of a task of 16 samples that ended: it stays, so that a repeated submission is recognised."""
ALLOCATION_OVERHEAD = 1.15
"""Resident over requested bytes (the allocator's size classes)."""
CHECKPOINT_BYTES_PER_PARAMETER = 24
"""Actor and critic, each with float32 weights and two moments."""


def step_tokens(work: Workload) -> float:
    """Response tokens of one step."""
    return work.rollouts * work.response_tokens


def generation_seconds(work: Workload, rates: Rates) -> float:
    """Seconds in which the fleet makes the rollouts of one step, the weight update included."""
    return step_tokens(work) / rates.fleet_tokens_per_second + rates.standstill_seconds


def training_seconds(work: Workload, rates: Rates) -> float:
    """Seconds from a full batch to announced weights."""
    return step_tokens(work) / rates.trainer_tokens_per_second + rates.publish_seconds


def step_seconds(work: Workload, rates: Rates) -> float:
    """Steady state: the slower side's time; both one after the other without staleness."""
    sides = generation_seconds(work, rates), training_seconds(work, rates)
    return sum(sides) if work.max_staleness == 0 else max(sides)


def generators_needed(work: Workload, rates: Rates) -> int | None:
    """Fewest replicas with which the trainer need not wait; None when no number is enough, as the
    standstill alone is longer than a training step.
    """
    useful = training_seconds(work, rates) - rates.standstill_seconds
    if useful <= 0:
        return None
    needed = step_tokens(work) / (useful * rates.generator_tokens_per_second)
    # A whole number must not become the next one through rounding.
    return max(1, math.ceil(needed * (1 - 1e-12)))


def best_split(work: Workload, rates: Rates, gpus: int, per_generator: int) -> tuple[int, int]:
    """Generators and trainer GPUs with the shortest step.

    Args:
        rates: ``trainer_tokens_per_second`` of ONE trainer GPU; taken to scale with their number.
        gpus: to share out.
        per_generator: GPUs of one replica.

    Raises:
        ValueError: there are too few for one replica and one trainer GPU.
    """
    splits = [(count, gpus - count * per_generator) for count in range(1, (gpus - 1) // per_generator + 1)]
    if not splits:
        raise ValueError(f"{gpus} GPUs are too few: one generator takes {per_generator}, the trainer at least 1")
    return min(splits, key=lambda split: step_seconds(work, with_split(rates, *split)))


def with_split(rates: Rates, generators: int, trainer_gpus: int) -> Rates:
    """``rates`` of one replica and one trainer GPU, for so many of each."""
    return Rates(
        **{
            **vars(rates),
            "generators": generators,
            "trainer_tokens_per_second": rates.trainer_tokens_per_second * trainer_gpus,
        }
    )


def record_bytes(response_tokens: float) -> float:
    """Bytes in Redis of one trained rollout."""
    return RECORD_BYTES + RECORD_BYTES_PER_TOKEN * response_tokens


def redis_bytes(work: Workload, deployment: Deployment) -> float:
    """Most memory the run's rollouts take: admitted, trained and not yet in a checkpoint, kept."""
    trained = deployment.checkpoint_every_steps * work.rollouts
    rollouts = work.capacity + trained + deployment.retained_rollouts
    return ALLOCATION_OVERHEAD * rollouts * record_bytes(work.response_tokens)


def redis_bytes_per_step_kept(work: Workload) -> float:
    """Memory that each step adds for good: the records of its tasks."""
    return work.prompts_per_step * TASK_MEMORY_BYTES * max(1.0, work.samples_per_prompt / 16)


def redis_traffic(work: Workload) -> tuple[float, float]:
    """Bytes into and out of Redis in one step."""
    return (
        work.rollouts * (WIRE_IN_BYTES + WIRE_IN_PER_TOKEN * work.response_tokens),
        work.rollouts * (WIRE_OUT_BYTES + WIRE_OUT_PER_TOKEN * work.response_tokens),
    )


def redis_busy_seconds(work: Workload) -> float:
    """Seconds of Redis' one thread in one step."""
    return work.rollouts * (REDIS_SECONDS + REDIS_SECONDS_PER_TOKEN * work.response_tokens)


def sync_bytes(model: ModelSize, rates: Rates, deployment: Deployment, relay: bool) -> float:
    """Bytes that leave the trainer's host for one publication: the actor once per generator, or
    per host of generators with a relay, and the critic once per value replica.
    """
    hosts = math.ceil(rates.generators / deployment.generators_per_host)
    actors = hosts if relay else rates.generators
    return model.weight_bytes * (actors + deployment.value_replicas)


def checkpoint_bytes(model: ModelSize) -> float:
    """One checkpoint of actor and critic."""
    return CHECKPOINT_BYTES_PER_PARAMETER * model.parameters


def sequences_that_fit(work: Workload, model: ModelSize, deployment: Deployment) -> int | None:
    """Responses whose keys and values fit at once, at their mean length; None when not known."""
    per_token = model.cache_bytes_per_token
    if not per_token or not deployment.cache_memory_bytes:
        return None
    tokens = work.prompt_tokens + work.response_tokens / 2
    return int(deployment.cache_memory_bytes / (per_token * tokens))
