"""What a response means that was cut at the length limit. The VAPO paper is silent."""

from __future__ import annotations

from enum import StrEnum


class Truncation(StrEnum):
    """Values of ``algorithm.truncation``.

    ``mask_policy`` is the default: a cut-off answer says nothing about the tokens it did write, so
    no token is blamed for the budget, and overlong filtering is the single largest step of DAPO's
    ladder after dynamic sampling (+6); the critic still learns that running out of budget fails.
    """

    TERMINAL = "terminal"
    """It ended there and keeps its reward, as if it had stopped by itself (DAPO section 3.4)."""
    MASK_POLICY = "mask_policy"
    """Overlong filtering (DAPO section 3.4): it keeps its reward for the critic, whose value then
    means "success within the budget", but neither policy term sees it."""
    SOFT_PUNISHMENT = "soft_punishment"
    """As ``TERMINAL``, with the length penalty of DAPO Eq 13 added to every reward."""
    MASK_AND_PUNISH = "mask_and_punish"
    """``SOFT_PUNISHMENT`` for every reward and ``MASK_POLICY`` for the rows that were cut, as in
    the full DAPO, whose ladder (its Table 1) has both."""
    BOOTSTRAP = "bootstrap"
    """Its reward is replaced by V of its last state (Step-3.5-Flash, arXiv 2602.10604). The critic
    does not train on it: at lambda_critic = 1 its target would be the critic's own output."""


PUNISHING = (Truncation.SOFT_PUNISHMENT, Truncation.MASK_AND_PUNISH)
"""Treatments that add DAPO Eq 13 to the rewards."""
MASKING = (Truncation.MASK_POLICY, Truncation.MASK_AND_PUNISH)
"""Treatments that leave truncated rows out of the policy's losses."""
