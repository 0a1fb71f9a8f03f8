"""What a judgement is worth, apart from the judgement.

Invariants:
- a response is never punished for a fault of its task or of the verifier: its reward is None, the
  rollout is excluded from training and counted;
- the format term changes the reward alone, never the verdict;
- the reward follows from the texts alone, so HTTP and the queue give the same. What a response's
  length is worth (DAPO Eq 13) is the trainer's: ``algorithm.truncation``.
"""

from __future__ import annotations

from typing import cast

from services.verifier.judgement.verdicts import Fault, Judgement, Outcome
from vapo.messages import Verdict, VerdictName
from vapo.settings import VerifierSettings

_EXCLUDED = frozenset({Fault.REFERENCE, Fault.VERIFIER})


def reward(judgement: Judgement, settings: VerifierSettings, well_formed: bool = False) -> float | None:
    """The reward, or None when the rollout must be excluded.

    VAPO Figure 2b has +1 and -1. What is judged and not correct is wrong: also no answer, or one
    that cannot be judged in time.

    Args:
        well_formed: whether the response contains the format pattern.
    """
    if judgement.fault in _EXCLUDED:
        return None
    outcome = settings.reward_correct if judgement.outcome is Outcome.CORRECT else settings.reward_wrong
    return outcome + (settings.format_reward if well_formed else 0.0)


def verdict(judgement: Judgement, settings: VerifierSettings, well_formed: bool = False) -> Verdict:
    """The record that the ledger keeps; arguments as for :func:`reward`."""
    return Verdict(
        verdict=cast(VerdictName, str(judgement.outcome)),
        reward=reward(judgement, settings, well_formed),
        extracted=judgement.extracted,
        reason=judgement.reason,
    )
