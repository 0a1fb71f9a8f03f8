"""The verifier ``math``: mathematical answers by one set of extraction rules."""

from __future__ import annotations

from dataclasses import dataclass

from services.verifier.judgement import math_answer
from services.verifier.judgement.verdicts import Judgement


@dataclass(frozen=True)
class MathVerifier:
    """Judges mathematical answers (:mod:`services.verifier.judgement.math_answer`)."""

    rules: tuple[str, ...] = ("boxed",)
    """Extraction rules in order (:mod:`services.verifier.judgement.extraction`)."""

    def judge_cheaply(self, response: str, reference: str) -> Judgement | None:
        """See :func:`services.verifier.judgement.math_answer.judge_cheaply`."""
        return math_answer.judge_cheaply(response, reference, self.rules)

    def check_reference(self, reference: str) -> None:
        """See :func:`services.verifier.judgement.math_answer.check_reference`."""
        math_answer.check_reference(reference)

    def judge(self, response: str, reference: str) -> Judgement:
        """See :func:`services.verifier.judgement.math_answer.judge`."""
        return math_answer.judge(response, reference, self.rules)
