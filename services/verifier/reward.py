"""What a judgement is worth, apart from the judgement.

Invariants:
- a response is never punished for a fault of its task or of the verifier: its reward is None, the
  rollout is excluded from training and counted;
- the shaping terms change the reward alone, never the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from services.verifier.judgement.verdicts import Fault, Judgement, Outcome
from vapo.messages import Verdict, VerdictName

_EXCLUDED = frozenset({Fault.REFERENCE, Fault.VERIFIER})


@dataclass(frozen=True)
class Response:
    """What the shaping terms look at."""

    well_formed: bool = False
    """Whether it contains the format pattern."""
    tokens: int = 0
    """Length, end token included; 0 when unknown."""


@dataclass(frozen=True)
class RewardMapping:
    """Rewards of judged responses. VAPO Figure 2b: +1 and -1; another common choice is 1 and 0."""

    correct: float = 1.0
    wrong: float = -1.0
    """Of everything that is judged and not correct: no answer, or one that cannot be judged in
    time.
    """
    format_reward: float = 0.0
    """Added to the reward of a well-formed response."""
    overlong_limit_tokens: int = 0
    """L_max of the soft overlong punishment; 0 switches it off."""
    overlong_buffer_tokens: int = 0
    """L_cache: the last tokens before the limit, where the punishment grows from 0 to -1."""

    def reward(self, judgement: Judgement, response: Response | None = None) -> float | None:
        """The reward, or None when the rollout must be excluded."""
        if judgement.fault in _EXCLUDED:
            return None
        outcome = self.correct if judgement.outcome is Outcome.CORRECT else self.wrong
        if response is None:
            return outcome
        format_term = self.format_reward if response.well_formed else 0.0
        return outcome + format_term + self._overlong_term(response.tokens)

    def verdict(self, judgement: Judgement, response: Response | None = None) -> Verdict:
        """The record that the ledger keeps."""
        return Verdict(
            verdict=cast(VerdictName, str(judgement.outcome)),
            reward=self.reward(judgement, response),
            extracted=judgement.extracted,
            reason=judgement.reason,
        )

    def _overlong_term(self, tokens: int) -> float:
        return soft_overlong_punishment(tokens, self.overlong_limit_tokens, self.overlong_buffer_tokens)


def soft_overlong_punishment(tokens: int, limit: int, buffer: int) -> float:
    """DAPO Eq 13: 0 up to ``limit - buffer`` tokens, then linear to -1 at ``limit`` and beyond."""
    if limit <= 0 or tokens <= limit - buffer:
        return 0.0
    return max(-1.0, (limit - buffer - tokens) / buffer) if buffer > 0 else -1.0
