"""Which training step a weight version belongs to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def step_of_version(rows: Sequence[Mapping[str, Any]], version: int) -> int:
    """The last step of the metrics `rows` at which no newer weights than `version` were published;
    0 for weights of before the first step.
    """
    steps = [int(row["step"]) for row in rows if row.get("version", 0) <= version]
    return max(steps, default=0)
