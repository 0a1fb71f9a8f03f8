"""The verifier ``exact``: the answer is the reference, character for character."""

from __future__ import annotations

from dataclasses import dataclass

from services.verifier.judgement import extract
from services.verifier.judgement.verdicts import Judgement, Outcome, ReferenceFault, reference_fault


@dataclass(frozen=True)
class ExactMatch:
    """Equality of text after white space at both ends is removed."""

    rules: tuple[str, ...] = ("boxed",)
    """Extraction rules in order."""

    def judge_cheaply(self, response: str, reference: str) -> Judgement:
        """Always decides."""
        try:
            self.check_reference(reference)
        except ReferenceFault as fault:
            return reference_fault(str(fault))
        answer = extract(response, self.rules)
        if answer is None:
            return Judgement(Outcome.NO_ANSWER, "no answer found by rule " + ", ".join(self.rules))
        same = answer == reference.strip()
        outcome = Outcome.CORRECT if same else Outcome.WRONG
        return Judgement(outcome, "the same text" if same else "other text", answer)

    def check_reference(self, reference: str) -> None:
        """Raises ReferenceFault when it is empty."""
        if not reference.strip():
            raise ReferenceFault("the reference is empty")

    def judge(self, response: str, reference: str) -> Judgement:
        """The same as :meth:`judge_cheaply`."""
        return self.judge_cheaply(response, reference)
