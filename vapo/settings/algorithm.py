"""The section of the algorithm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vapo.settings.corrections import Bounds, correction_facts, resolve_bounds
from vapo.settings.section import Section
from vapo.settings.truncation import Truncation


class AlgorithmSettings(Section):
    """VAPO's seven pieces and what baselines change. Equation numbers are the paper's."""

    estimator: Literal["gae", "group"] = "gae"
    """``gae``: a critic (PPO, VAPO); ``group``: group-normalised rewards (GRPO, DAPO)."""
    decoupled_gae: bool = True
    """Piece 2: lambda_critic for value targets, lambda_policy for advantages."""
    lambda_critic: float = Field(1.0, ge=0, le=1)
    """Lambda of the value targets (section 4.1: 1.0)."""
    lambda_policy: float = Field(0.95, ge=0, le=1)
    """Lambda of the advantages when it is not length-adaptive (VC-PPO: 0.95)."""
    length_adaptive_lambda: bool = True
    """Piece 3: lambda_policy = 1 - 1/(alpha * length), Eq 4-5."""
    alpha: float = Field(0.05, gt=0)
    """Alpha of Eq 5 (paper: 0.05, for responses of thousands of tokens)."""
    token_level_loss: bool = True
    """Piece 4: all tokens of the mini-batch weigh the same, Eq 7; false: Eq 6."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Epsilon_low of Eq 8."""
    clip_high: float = Field(0.28, gt=0)
    """Piece 5, clip-higher: epsilon_high of Eq 8 (0.2 in vanilla PPO)."""
    positive_example_weight: float = Field(0.1, ge=0)
    """Piece 6: mu of Eq 10; 0 switches the positive-example LM loss off."""
    truncation: Truncation = Truncation.MASK_POLICY
    """What a response cut at ``max_new_tokens`` means (paper silent; docs/algorithm.md)."""
    overlong_buffer_tokens: int = Field(32, ge=1)
    """L_cache of DAPO Eq 13, used by ``soft_punishment`` and ``mask_and_punish``."""
    whiten_advantages: bool = False
    """Normalise advantages over the rollout batch (not in the paper)."""
    correction: str = "none"
    """Off-policy correction of the policy loss; ``none`` is Eq 2 as written. Far beyond a staleness
    of 2, with small steps, ``dppo`` and ``token_tis`` learn faster (docs/results.md)."""
    correction_low: float | None = Field(None, ge=0)
    """Lower bound of the correction's ratio (``dppo``: of a difference of probabilities); unset:
    the correction's own default."""
    correction_high: float | None = Field(None, gt=0)
    """Upper bound, likewise."""
    dual_clip: float | None = Field(None, gt=1)
    """c of dual-clip PPO, which bounds the loss where the advantage is negative; unset: off."""
    correct_positive_examples: bool = True
    """The positive-example loss carries the correction weight too (our choice)."""
    entropy_weight: float = Field(0.0, ge=0)
    """Entropy bonus (paper: none)."""
    group_standard_deviation: bool = True
    """Estimator ``group``: divide by the group's standard deviation (DAPO Eq 9)."""
    drop_uniform_groups: bool = False
    """DAPO's dynamic sampling: groups all correct or all wrong are dropped and others sampled in
    their place, up to ``trainer.uniform_batches_limit``; what is left of them leaves the loss."""

    @property
    def correction_bounds(self) -> Bounds:
        """Bounds of the correction in force."""
        return resolve_bounds(self.correction, self.correction_low, self.correction_high)

    @model_validator(mode="after")
    def _correction_fits(self) -> AlgorithmSettings:
        resolve_bounds(self.correction, self.correction_low, self.correction_high)
        if self.dual_clip is not None and not correction_facts(self.correction).clipped:
            raise ValueError(
                f"algorithm.dual_clip={self.dual_clip} is not allowed: correction={self.correction!r} "
                "bounds the ratio itself and has no clipped surrogate; leave dual_clip out or change correction"
            )
        return self
