"""What the demo itself decides; its settings are the preset `demo` (`vapo.settings.presets`)."""

from __future__ import annotations

from dataclasses import dataclass


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
