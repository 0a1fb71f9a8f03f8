"""Sections of the services that a rollout passes: gateway, generator, verifier, value."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from vapo.settings.section import PartSection, Port


class GatewaySettings(PartSection):
    """The REST front."""

    port: Port = 8000
    max_body_bytes: int = Field(16 * 2**20, ge=1024)
    """Largest request body; larger ones get 413."""
    max_dataset_bytes: int = Field(256 * 2**20, ge=1024)
    """Largest uploaded data set, and the most its rows may unpack to; larger ones get 413."""
    backlog_low_water: int = Field(64, ge=1)
    """Waiting training tasks below which a data set tops the queue up."""
    generator_url: str | None = None
    """Generator for chat; by default a READY one from the fleet."""
    trainer_url: str | None = None
    """Trainer for control calls; by default the one in the fleet."""


class GeneratorSettings(PartSection):
    """One vLLM engine."""

    port: Port = 8001
    max_concurrent_sequences: int = Field(256, ge=1)
    """Sequences decoded together (vLLM ``max_num_seqs``)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute type; ``auto`` is float32 on CPU and bfloat16 on CUDA."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs per engine."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of GPU memory for vLLM (CUDA only)."""
    cpu_kv_cache_gib: float = Field(1.0, gt=0)
    """Key/value cache on CPU, GiB (vLLM otherwise takes a share of the machine)."""
    enforce_eager: bool = True
    """No graph capture; set false on GPU hosts for speed at the price of start-up time."""
    prefix_caching: bool = True
    """Reuse keys of shared prompts; never across weight versions."""
    update_deadline_seconds: float = Field(120.0, gt=0)
    """Deadline of one in-flight weight update."""


class VerifierSettings(PartSection):
    """Judgement of math answers and its reward."""

    port: Port = 8002
    default: str = "math"
    """Verifier of tasks that name none."""
    workers: int = Field(2, ge=1)
    """Killable worker processes for symbolic comparison."""
    time_limit_seconds: float = Field(2.0, gt=0)
    """Hard wall-clock limit of one symbolic judgement."""
    memory_limit_mib: int = Field(1024, ge=64)
    """Address-space limit of a worker."""
    require_box: bool = True
    """Only ``\\boxed{}`` counts as an answer."""
    reward_correct: float = 1.0
    """Reward of a correct response (+1, read off VAPO Figure 2b)."""
    reward_wrong: float = -1.0
    """Reward of any other judged response (-1, read off VAPO Figure 2b)."""
    format_pattern: str = ""
    """Regular expression that a well-formed response contains; empty: no format term."""
    format_reward: float = 0.0
    """Added to the reward of a well-formed response; the verdict stays as it is."""
    queue_limit: int = Field(4096, ge=1)
    """Judgements waiting over HTTP before 429."""

    @field_validator("format_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern


class ValueSettings(PartSection):
    """A replica of the critic."""

    port: Port = 8003
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes, as ``trainer.device``."""
    token_budget: int = Field(4096, ge=16)
    """Tokens scored in one forward pass."""
    queue_limit: int = Field(1024, ge=1)
    """Responses waiting over HTTP before 429."""
