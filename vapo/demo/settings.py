"""The demo's settings, as differences from the defaults, and what the demo itself decides.

Invariant: everything here is our choice for a model of 0.6 million parameters on two CPU cores;
the paper's values are the defaults in `vapo.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vapo

BASE_MODEL = Path(vapo.__file__).parent / "assets" / "chain-base"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is measured, and for how long the policy is trained."""

    seed: int = 0
    rl_seconds: float = 300.0
    """Wall-clock budget of reinforcement learning, value pretraining not included."""
    train_problems: int = 6000
    held_out_problems: int = 200
    samples: int = 4
    """Responses per held-out problem before and after (k of avg@k)."""
    curve_problems: int = 100
    """Held-out problems, one response each, of the evaluations during training."""
    curve_every_seconds: float = 25.0


def demo_base() -> dict[str, dict[str, Any]]:
    """Nested differences from the defaults, in the form of a settings file."""
    return {
        "run": {"name": "demo"},
        "model": {"path": str(BASE_MODEL), "max_context_tokens": 320},
        "sampling": {"samples_per_prompt": 8, "max_new_tokens": 224},
        "ledger": {"max_staleness": 1, "lease_seconds": 8.0, "heartbeat_seconds": 1.0},
        "generator": {"max_concurrent_sequences": 256, "cpu_kv_cache_gib": 0.25},
        "algorithm": {"alpha": 0.5},
        "value_pretraining": {"max_steps": 4},
        "trainer": {
            "prompts_per_step": 16,
            "mini_batch_rollouts": 64,
            "max_steps": 1000,
            "actor_learning_rate": 3e-4,
            "critic_learning_rate": 1e-3,
            "warmup_steps": 2,
            "token_budget": 1024,
            "checkpoint_every_steps": 10,
        },
        "evaluation": {"samples": 4, "top_p": 1.0},
    }
