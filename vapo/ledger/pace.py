"""How long a run will still take. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

ROWS = 20
"""The newest steps that tell the pace."""


def seconds_left(rows: Sequence[Mapping[str, Any]], max_steps: int | None) -> float | None:
    """Seconds until the last step, from when the newest of `rows` were written (`at`); None when
    nothing can be said. The median step counts, so that a night without the run does not.
    """
    newest = [row for row in rows if "at" in row][-ROWS:]
    if max_steps is None or len(newest) < 2:
        return None
    pace = median(later["at"] - earlier["at"] for earlier, later in pairwise(newest))
    return max(0.0, pace) * max(0, max_steps - int(newest[-1]["step"]))


def words(seconds: float | None) -> str:
    """Hours, minutes and seconds, or `-`."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
