"""Two verifiers of one's own: the same text, and a number within a tolerance.

A verifier is a class with three methods. ``judge_cheaply`` runs in the service and must be quick;
returning None hands the response to a worker process, where ``check_reference`` and then ``judge``
run under the time and the memory limit. A factory named by an entry point makes one from the
options of the service; ``options["rules"]`` says where an answer may stand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.verifier.judgement import extract
from services.verifier.judgement.verdicts import Judgement, Outcome, ReferenceFault, reference_fault

RELATIVE_TOLERANCE = 0.01


@dataclass(frozen=True)
class SameText:
    """The answer is the reference, but for case and white space."""

    rules: tuple[str, ...]

    def judge_cheaply(self, response: str, reference: str) -> Judgement:
        """Always decides."""
        answer = extract(response, self.rules)
        if answer is None:
            return Judgement(Outcome.NO_ANSWER, "no answer was found")
        same = answer.casefold().split() == reference.casefold().split()
        outcome = Outcome.CORRECT if same else Outcome.WRONG
        return Judgement(outcome, "the same text" if same else "another text", answer)

    def check_reference(self, reference: str) -> None:
        """Any text will do."""

    def judge(self, response: str, reference: str) -> Judgement:
        """The same as :meth:`judge_cheaply`."""
        return self.judge_cheaply(response, reference)


@dataclass(frozen=True)
class Tolerance:
    """The answer is a number within one per cent of the reference."""

    rules: tuple[str, ...]

    def judge_cheaply(self, response: str, reference: str) -> Judgement:
        """Always decides; a reference that is no number is the task's fault, not the response's."""
        try:
            self.check_reference(reference)
        except ReferenceFault as fault:
            return reference_fault(str(fault))
        answer = extract(response, self.rules)
        if answer is None:
            return Judgement(Outcome.NO_ANSWER, "no answer was found")
        try:
            close = math.isclose(float(answer), float(reference), rel_tol=RELATIVE_TOLERANCE)
        except ValueError:
            return Judgement(Outcome.WRONG, "not a number", answer)
        reason = f"{'within' if close else 'beyond'} {RELATIVE_TOLERANCE:.0%} of the reference"
        return Judgement(Outcome.CORRECT if close else Outcome.WRONG, reason, answer)

    def check_reference(self, reference: str) -> None:
        """Raises ReferenceFault when it is no finite number."""
        try:
            finite = math.isfinite(float(reference))
        except ValueError:
            finite = False
        if not finite:
            raise ReferenceFault(f"the reference {reference[:50]!r} is not a finite number")

    def judge(self, response: str, reference: str) -> Judgement:
        """The same as :meth:`judge_cheaply`."""
        return self.judge_cheaply(response, reference)


def same_text(options: Mapping[str, Any]) -> SameText:
    """The factory that the entry point ``same_text`` names."""
    return SameText(tuple(options["rules"]))


def tolerance(options: Mapping[str, Any]) -> Tolerance:
    """The factory that the entry point ``tolerance`` names."""
    return Tolerance(tuple(options["rules"]))
