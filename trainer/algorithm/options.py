"""The switches of the objective, as one frozen record of plain values.

Invariants:
- field names equal those of ``vapo.settings.AlgorithmSettings``, so that
  ``Options(**settings.algorithm.model_dump(), max_response_tokens=...)`` is the whole conversion;
- an impossible value is refused when the record is made, not in the middle of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vapo.settings.corrections import Bounds, correction_facts, resolve_bounds
from vapo.settings.truncation import PUNISHING, Truncation


@dataclass(frozen=True)
class Options:
    """All switches of the objective; the defaults are VAPO's (docs/algorithm.md has the sources).

    Raises:
        ValueError: a value lies outside its range, or a punishing treatment has no length limit.
    """

    estimator: Literal["gae", "group"] = "gae"
    """``gae``: a critic (PPO, VAPO). ``group``: rewards against their prompt's (GRPO, DAPO)."""
    decoupled_gae: bool = True
    """Value targets use ``lambda_critic``; off: they use the policy's lambda (section 4.1)."""
    lambda_critic: float = 1.0
    """Lambda of the value targets (section 5.1: 1.0)."""
    lambda_policy: float = 0.95
    """Lambda of the advantages where it is not length-adaptive (VC-PPO: 0.95)."""
    length_adaptive_lambda: bool = True
    """lambda_policy = 1 - 1 / (alpha * length) for each row, Eq 5."""
    alpha: float = 0.05
    """Alpha of Eq 5."""
    token_level_loss: bool = True
    """Eq 7; off: the sample-level loss of Eq 6."""
    clip_low: float = 0.2
    """Epsilon_low of Eq 8."""
    clip_high: float = 0.28
    """Epsilon_high of Eq 8 (clip-higher)."""
    positive_example_weight: float = 0.1
    """Mu of Eq 10; 0 leaves the positive-example loss out."""
    truncation: Truncation | str = Truncation.MASK_POLICY
    """Treatment of truncated rows. ``mask_policy`` by default: a cut-off answer says nothing about
    the tokens it did write, so no token is blamed for the budget, and overlong filtering is the
    single largest step of DAPO's ladder after dynamic sampling (+6); the critic still learns that
    running out of budget fails."""
    overlong_buffer_tokens: int = 4096
    """L_cache of DAPO Eq 13, tokens."""
    max_response_tokens: int | None = None
    """L_max of DAPO Eq 13, tokens; needed by ``PUNISHING`` alone."""
    whiten_advantages: bool = False
    """Zero mean and unit deviation over the policy's tokens (in no equation of the paper)."""
    correction: str = "none"
    """Off-policy correction, a name in ``vapo.settings.corrections.CORRECTIONS``."""
    correction_low: float | None = None
    """Lower bound of the correction's ratio (``dppo``: of a difference of probabilities); None: the
    correction's own default."""
    correction_high: float | None = None
    """Upper bound, likewise."""
    dual_clip: float | None = None
    """c of dual-clip PPO, which bounds the loss where A < 0; None: off, as in the paper."""
    correct_positive_examples: bool = True
    """The positive-example loss carries the policy loss's correction weight too: Eq 9 has no
    ratio of its own to hold stale tokens back."""
    entropy_weight: float = 0.0
    """Weight of an entropy bonus (the paper has none)."""
    group_standard_deviation: bool = True
    """Group advantages are divided by the group's standard deviation (GRPO, DAPO Eq 9)."""
    drop_uniform_groups: bool = False
    """Groups all correct or all wrong leave the policy loss (the filter of DAPO's dynamic sampling;
    ``trainer.intake.dynamic_sampling`` draws others in their place)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "truncation", Truncation(self.truncation))
        _require(self.estimator in ("gae", "group"), "estimator", self.estimator, "gae or group")
        _require(0 <= self.lambda_critic <= 1, "lambda_critic", self.lambda_critic, "0 to 1")
        _require(0 <= self.lambda_policy <= 1, "lambda_policy", self.lambda_policy, "0 to 1")
        _require(self.alpha > 0, "alpha", self.alpha, "a positive number")
        _require(0 < self.clip_low < 1, "clip_low", self.clip_low, "more than 0, less than 1")
        _require(self.clip_high > 0, "clip_high", self.clip_high, "a positive number")
        _require(
            self.positive_example_weight >= 0, "positive_example_weight", self.positive_example_weight, "0 or more"
        )
        _require(self.entropy_weight >= 0, "entropy_weight", self.entropy_weight, "0 or more")
        resolve_bounds(self.correction, self.correction_low, self.correction_high)
        self._check_dual_clip()
        self._check_soft_punishment()

    @property
    def correction_bounds(self) -> Bounds:
        """Bounds of the correction in force."""
        return resolve_bounds(self.correction, self.correction_low, self.correction_high)

    def _check_dual_clip(self) -> None:
        if self.dual_clip is None:
            return
        _require(self.dual_clip > 1, "dual_clip", self.dual_clip, "more than 1 (usual: 3), or none")
        _require(
            correction_facts(self.correction).clipped,
            "dual_clip",
            self.dual_clip,
            f"none: correction={self.correction!r} bounds the ratio itself and has no clipped surrogate",
        )

    def _check_soft_punishment(self) -> None:
        if self.truncation not in PUNISHING:
            return
        limit = self.max_response_tokens
        _require(
            limit is not None and limit >= 1,
            "max_response_tokens",
            limit,
            f"the sampling limit in tokens, since truncation is {self.truncation}",
        )
        _require(
            1 <= self.overlong_buffer_tokens <= (limit or 0),
            "overlong_buffer_tokens",
            self.overlong_buffer_tokens,
            f"1 to max_response_tokens = {limit}",
        )


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}={value!r} is not allowed; set it to {expected}")
