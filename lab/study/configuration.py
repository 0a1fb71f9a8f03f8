"""Everything that decides one run of the study, as one frozen record of plain values.

Invariants: a run follows from its configuration alone (on one thread of one machine);
``Configuration`` and its JSON form are equivalent, so a result file says how it was made. Fields of
a regime that are None are left out of that form, so a field added later with this default leaves
the names of older result files as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lab.study.demo_task import DemoTask
from lab.study.task import TaskShape
from vapo.settings import AlgorithmSettings

HORIZON = 0.5
"""The study's rule for alpha: lambda_policy's horizon 1 / (1 - lambda) = alpha * length is half the
response. The paper's 0.05 suits thousands of tokens."""


@dataclass(frozen=True)
class Regime:
    """What all variants of a comparison share."""

    task: TaskShape | DemoTask = field(default_factory=TaskShape)
    base_steps: int = 600
    """Supervised steps of the base model that is made; the demo's is there already."""
    rollout_budget: int = 1280
    """Responses of a run, those of value pretraining included."""
    rollouts_per_step: int = 64
    samples_per_prompt: int = 2
    mini_batches: int = 2
    """Optimiser steps per rollout step."""
    pretraining_steps: int = 2
    """Rollout steps spent on value pretraining, by variants that have it."""
    pretraining_epochs: int = 8
    """Passes over each rollout batch of value pretraining."""
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 2e-3
    warmup_steps: int | None = None
    """Optimiser steps of linear warm-up of the rates; None: none."""
    critic_epochs: int | None = None
    """Passes of the critic over each rollout batch of reinforcement learning; None: one."""
    critic_mini_batches: int | None = None
    """Optimiser steps of the critic per pass; None: as many as the actor's."""
    alpha: float | None = None
    """Of length-adaptive GAE (Eq 5); None: :data:`HORIZON`, the study's rule."""
    max_new_tokens: int = 100
    staleness: int = 0
    """Rollouts are sampled from weights this many rollout steps old."""
    held_out_problems: int = 256
    held_out_samples: int = 2

    def __post_init__(self) -> None:
        if self.rollouts_per_step % self.samples_per_prompt:
            raise ValueError(
                f"rollouts_per_step={self.rollouts_per_step} is not a multiple of "
                f"samples_per_prompt={self.samples_per_prompt}; make it one"
            )

    @property
    def rollout_steps(self) -> int:
        """Rollout steps of a run, value pretraining included."""
        return self.rollout_budget // self.rollouts_per_step


@dataclass(frozen=True)
class Configuration:
    """One run."""

    variant: str
    """Name for people and file names; what it means is in the other fields."""
    seed: int
    """Decides problems and random draws; runs of one seed see the same problems in the same
    order."""
    regime: Regime = field(default_factory=Regime)
    value_pretraining: bool = True
    algorithm: Mapping[str, Any] = field(default_factory=lambda: {"alpha": HORIZON})
    """Fields of :class:`AlgorithmSettings` that differ from its defaults."""

    def algorithm_settings(self) -> AlgorithmSettings:
        """The objective's switches."""
        buffer = max(1, self.regime.max_new_tokens // 8)
        return AlgorithmSettings(**{"overlong_buffer_tokens": buffer, **self.algorithm})

    def with_algorithm(self, **differences: Any) -> Configuration:
        """The same with other switches of the objective, e.g. ``correction="icepop"``."""
        return replace(self, algorithm={**self.algorithm, **differences})


def to_json(configuration: Configuration) -> dict[str, Any]:
    """Plain nested dictionaries, lists and numbers."""
    record = asdict(replace(configuration, algorithm=dict(configuration.algorithm)))
    record["regime"] = {name: value for name, value in record["regime"].items() if value is not None}
    return record


def from_json(record: Mapping[str, Any]) -> Configuration:
    """The inverse of :func:`to_json`."""
    regime = dict(record["regime"])
    task: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in regime.pop("task").items()
    }
    shape = DemoTask(**task) if "base" in task else TaskShape(**task)
    return Configuration(**{**record, "regime": Regime(task=shape, **regime)})
