"""The regimes of the staleness study: a task, its base model, rates and the budget of a run.

Invariant: staleness is left at 0 here; the study sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lab.study.configuration import Regime
from lab.study.studies import DEMO
from lab.study.task import TaskShape

_METHOD_CHAINS = Regime(
    task=TaskShape(terms=(3,), right_method=0.5),
    base_steps=250,
    rollout_budget=24 * 128,
    rollouts_per_step=128,
    samples_per_prompt=8,
    mini_batches=4,
    pretraining_steps=2,
    actor_learning_rate=1e-3,
    max_new_tokens=48,
)
"""Large steps, so that staleness means a real distance."""

REGIMES: Mapping[str, Regime] = {
    "method-chains": _METHOD_CHAINS,
    "demo": DEMO,
    "demo-large-steps": replace(DEMO, actor_learning_rate=1e-3),
}
"""Name on the command line -> regime."""
