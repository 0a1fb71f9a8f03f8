"""When a process that died is started again, and when it is given up. Pure: times in, decision
out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Limits of restarting one process. All are our choice."""

    limit: int = 5
    """Deaths within the window, or in a row of one cause, at which the process is given up."""
    window_seconds: float = 60.0
    """Deaths longer ago than this are forgotten, unless they have one cause."""
    first_delay_seconds: float = 0.25
    """Wait before the first restart; doubled for each further death in the window."""
    longest_delay_seconds: float = 5.0
    sound_seconds: float = 600.0
    """Whoever lived longer than this did work: its death is not one more of the same cause."""


def recent(policy: RestartPolicy, deaths: Sequence[float], now: float) -> list[float]:
    """The deaths that still count at time `now`."""
    return [death for death in deaths if now - death < policy.window_seconds]


def restart_delay(policy: RestartPolicy, deaths: Sequence[float], now: float) -> float | None:
    """Seconds to wait before the next start, or None to give the process up.

    Args:
        deaths: monotonic times of all deaths so far, the latest included.
        now: monotonic time of the decision.
    """
    count = len(recent(policy, deaths, now))
    if count >= policy.limit:
        return None
    delay = policy.first_delay_seconds * 2.0 ** max(0, count - 1)
    return min(delay, policy.longest_delay_seconds)


def of_one_cause(causes: Sequence[str]) -> int:
    """How many of the last deaths had one and the same cause, numbers in its text aside.

    Args:
        causes: of all deaths so far, oldest first; empty for a death that tells of no fault of the
            process: it was killed, it had worked for long, or what it needs was away.
    """
    kinds = [re.sub(r"\d+", "#", cause) for cause in causes]
    if not kinds or not kinds[-1]:
        return 0
    others = [number for number, kind in enumerate(kinds) if kind != kinds[-1]]
    return len(kinds) - (others[-1] + 1 if others else 0)
