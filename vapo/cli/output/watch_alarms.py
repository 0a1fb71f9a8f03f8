"""What goes wrong beside training: dead letters, and parts that are not ready. Pure.

Invariant: each thing is said when it is new, and not more often than once a minute while it grows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from vapo.cli.output.fleet_words import why_not_ready
from vapo.cli.output.queue_words import one_line

REPEAT_SECONDS = 60.0
UNREADY_SECONDS = 15.0
"""A part may load weights for this long without a word."""


class Alarms:
    """Remembers what was said."""

    def __init__(self, dead: int) -> None:
        self._dead, self._dead_said_at = dead, float("-inf")
        self._unready_since: dict[str, float] = {}
        self._said: dict[str, str] = {}

    def of(self, metrics: Mapping[str, Any], members: Sequence[Mapping[str, Any]], now: float) -> list[str]:
        """What is to be said at `now`, seconds since the epoch."""
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        found = [*self._dead_letters(metrics, now), *self._parts(members, now)]
        return [f"{clock}  {text}" for text in found]

    def _dead_letters(self, metrics: Mapping[str, Any], now: float) -> list[str]:
        dead, newest = metrics["depths"]["dead"], metrics.get("newest_dead_letter")
        if dead <= self._dead or newest is None or now - self._dead_said_at < REPEAT_SECONDS:
            self._dead = min(self._dead, dead)
            return []
        more, self._dead, self._dead_said_at = dead - self._dead, dead, now
        return [f"{more} more failed for good ({dead} in all): {one_line(newest['reason'])}"]

    def _parts(self, members: Sequence[Mapping[str, Any]], now: float) -> list[str]:
        unready = {one["name"]: one for one in members if one["state"] != "READY"}
        self._unready_since = {name: self._unready_since.get(name, now) for name in unready}
        self._said = {name: text for name, text in self._said.items() if name in unready}
        lines = []
        for name, member in unready.items():
            text = f"{member['part']} {member['state']}: {why_not_ready(member)}"
            lasts = now - self._unready_since[name] >= UNREADY_SECONDS
            if lasts and self._said.get(name) != text:
                self._said[name] = text
                lines.append(one_line(text))
        return lines
