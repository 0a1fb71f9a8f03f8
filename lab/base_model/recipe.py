"""Every number of the warm-up in one place.

Invariant: a recipe decides the checkpoint; the same recipe on the same machine, with one thread,
gives the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.base_model.demonstrations import InHeadErrors
from vapo.demo.chain.problem_sets import DEMO_TERMS


@dataclass(frozen=True)
class ModelShape:
    """A small model of the Qwen3 form, with untied embeddings."""

    hidden_size: int = 128
    layers: int = 3
    attention_heads: int = 4
    key_value_heads: int = 2
    head_size: int = 32
    feed_forward_size: int = 384
    context_length: int = 2048


@dataclass(frozen=True)
class Recipe:
    """How the base checkpoint is made.

    The careful share starts high, so that the model learns to add and subtract, and ends low, so
    that it seldom bothers: the skill is there, the habit is not. Learning rates are the peak of a
    linear warm-up followed by a linear decay to zero.
    """

    seed: int = 0
    steps: int = 1000
    batch_size: int = 32
    terms: tuple[int, ...] = DEMO_TERMS
    careful_share_at_start: float = 0.8
    careful_share_at_end: float = 0.3
    mixing_from: float = 0.7
    """Fraction of the steps after which the careful share falls, linearly, to its end."""
    mixing_to: float = 0.85
    """Fraction of the steps after which the careful share stays at its end."""
    in_head_errors: InHeadErrors = field(default_factory=InHeadErrors)
    muon_learning_rate: float = 0.02
    adamw_learning_rate: float = 3e-3
    weight_decay: float = 0.01
    learning_rate_warm_up: float = 0.05
    """Fraction of the steps over which the learning rates rise."""
    gradient_clip: float = 1.0
    shape: ModelShape = field(default_factory=ModelShape)

    def careful_share(self, step: int) -> float:
        """Probability of a careful line at ``step`` (0-based)."""
        progress = step / self.steps
        fallen = (progress - self.mixing_from) / (self.mixing_to - self.mixing_from)
        fallen = min(max(fallen, 0.0), 1.0)
        start, end = self.careful_share_at_start, self.careful_share_at_end
        return start + (end - start) * fallen

    def learning_rate_factor(self, step: int) -> float:
        """Multiple of the peak learning rates at ``step`` (0-based), in (0, 1]."""
        warm_up_steps = max(1, round(self.learning_rate_warm_up * self.steps))
        rising = (step + 1) / warm_up_steps
        falling = (self.steps - step) / max(1, self.steps - warm_up_steps)
        return min(1.0, rising, falling)
