"""When a process that died is started again, and when it is given up. Pure: times in, decision
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Limits of restarting one process. All are our choice."""

    limit: int = 5
    """Deaths within the window at which the process is given up."""
    window_seconds: float = 60.0
    """Deaths longer ago than this are forgotten."""
    first_delay_seconds: float = 0.25
    """Wait before the first restart; doubled for each further death in the window."""
    longest_delay_seconds: float = 5.0


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
