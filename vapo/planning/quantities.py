"""What a plan is made from: the work of a step, the measured rates, the model, the links.

Invariant: plain data in SI units (bytes, seconds, tokens); every figure is positive.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """The rollouts of one step."""

    prompts_per_step: int
    samples_per_prompt: int
    response_tokens: float
    """Mean length."""
    longest_response: int
    """Lengths are cut off here (``sampling.max_new_tokens``)."""
    spread: float = 0.0
    """Standard deviation over mean of the lengths, before the cut; 0: all alike."""
    prompt_tokens: float = 200.0
    max_staleness: int = 1
    """``ledger.max_staleness``, in steps."""

    @property
    def rollouts(self) -> int:
        """Responses in one step."""
        return self.prompts_per_step * self.samples_per_prompt

    @property
    def capacity(self) -> int:
        """Most rollouts admitted and not yet trained (``Settings.admission_capacity``)."""
        return (self.max_staleness + 1) * self.rollouts


@dataclass(frozen=True)
class Rates:
    """What was measured."""

    generators: int
    """Engine replicas."""
    generator_tokens_per_second: float
    """Response tokens of one replica with all its places taken."""
    trainer_tokens_per_second: float
    """Response tokens of the whole trainer, from a full batch to new weights."""
    sequences: int = 256
    """Places of one replica (``generator.max_concurrent_sequences``)."""
    sequence_tokens_per_second: float | None = None
    """Of one response that has the engine for itself; None: no limit."""
    standstill_seconds: float = 0.0
    """Generation pauses so long for each weight update."""
    publish_seconds: float = 0.0
    """Trainer's time to write one version and announce it."""

    @property
    def fleet_tokens_per_second(self) -> float:
        """Of all replicas together."""
        return self.generators * self.generator_tokens_per_second


@dataclass(frozen=True)
class ModelSize:
    """The policy; the critic is taken to be as large."""

    parameters: float
    bytes_per_parameter: int = 2
    """As published and served: 2 for bfloat16, 4 for float32."""
    layers: int = 0
    kv_heads: int = 0
    head_size: int = 128

    @property
    def weight_bytes(self) -> float:
        """One published actor (or critic)."""
        return self.parameters * self.bytes_per_parameter

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token; 0 when layers or heads are not known."""
        return 2 * self.layers * self.kv_heads * self.head_size * self.bytes_per_parameter


@dataclass(frozen=True)
class Deployment:
    """Where things run, as far as the network and Redis care."""

    uplink_bytes_per_second: float = 1.25e9
    """Of the trainer's host (10 Gbit/s)."""
    generators_per_host: int = 8
    value_replicas: int = 1
    redis_memory_bytes: float = 16 * 2.0**30
    retained_rollouts: int = 5000
    """``ledger.retained_rollouts``."""
    checkpoint_every_steps: int = 10
    keep_checkpoints: int = 2
    cache_memory_bytes: float = 0.0
    """For keys and values of one replica; 0: not known."""
