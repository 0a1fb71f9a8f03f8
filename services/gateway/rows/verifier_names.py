"""Which verifiers a row may name: those that the running verifier services announce.

Invariants:
- the names come from the fleet, because a verifier may be installed where the verifier runs and
  nowhere else;
- while no verifier is alive nothing is refused: a rollout that names an unknown one is buried
  later, with that reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from vapo.ledger.fleet import Member

REMEMBERED_SECONDS = 5.0
"""A row that names a verifier seen this recently costs no look at the fleet."""


class VerifierNames:
    """The announced names, remembered for a moment. Thread-safe: a race costs a second look."""

    def __init__(self, alive: Callable[[], Iterable[Member]]) -> None:
        """Args: alive: the fleet's verifiers that live."""
        self._alive = alive
        self._names: frozenset[str] = frozenset()
        self._looked_at = 0.0

    def refusal(self, name: str) -> str | None:
        """Why no task may name ``name``, or None if it may."""
        recent = time.monotonic() - self._looked_at < REMEMBERED_SECONDS
        if recent and name in self._names:
            return None
        self._names = frozenset(str(name) for one in self._alive() for name in one.details.get("verifiers", ()))
        self._looked_at = time.monotonic()
        if name in self._names or not self._names:
            return None
        known = ", ".join(sorted(self._names))
        return (
            f"no running verifier is named {name!r}; there are {known}. Leave it out for the "
            "default, or install a package with that verifier where the verifier runs"
        )
