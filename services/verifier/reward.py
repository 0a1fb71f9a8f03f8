"""What a judgement is worth, apart from the judgement.

Invariant: a response is never punished for a fault of its task or of the verifier: its reward is
None, the rollout is excluded from training and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from services.verifier.verdicts import Fault, Judgement, Outcome
from vapo.messages import Verdict, VerdictName

_EXCLUDED = frozenset({Fault.REFERENCE, Fault.VERIFIER})


@dataclass(frozen=True)
class RewardMapping:
    """Rewards of judged responses. VAPO Figure 2b: +1 and -1; another common choice is 1 and 0."""

    correct: float = 1.0
    wrong: float = -1.0
    """Of everything that is judged and not correct: no answer, or one that cannot be judged in
    time.
    """

    def reward(self, judgement: Judgement) -> float | None:
        """The reward, or None when the rollout must be excluded."""
        if judgement.fault in _EXCLUDED:
            return None
        return self.correct if judgement.outcome is Outcome.CORRECT else self.wrong

    def verdict(self, judgement: Judgement) -> Verdict:
        """The record that the ledger keeps."""
        return Verdict(
            verdict=cast(VerdictName, str(judgement.outcome)),
            reward=self.reward(judgement),
            extracted=judgement.extracted,
            reason=judgement.reason,
        )
