"""Properties of the verdict, for the tests and for the long fuzz.

Each takes what was drawn and raises AssertionError with the pair that breaks it.
"""

from __future__ import annotations

from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.verdicts import Fault, Judgement, Outcome
from tests.support.verifier_answers import WRAPPINGS, Meaning


def same_answer_is_correct(meaning: Meaning, first: int, second: int) -> None:
    """Two writings of one answer are the same, whichever is the reference."""
    writings = meaning.writings()
    reference, answer = writings[first % len(writings)], writings[second % len(writings)]
    for one, other in ((reference, answer), (answer, reference)):
        judgement = judged(one, other)
        assert judgement.outcome is Outcome.CORRECT, (one, other, judgement)


def different_answers_are_wrong(pair: tuple[Meaning, Meaning], first: int, second: int) -> None:
    """Two answers of one form that differ in a number are never the same."""
    if pair[0].identity == pair[1].identity:
        return
    references, answers = pair[0].writings(), pair[1].writings()
    reference, answer = references[first % len(references)], answers[second % len(answers)]
    judgement = judged(reference, answer)
    assert judgement.outcome is Outcome.WRONG, (reference, answer, judgement)
    assert judgement.fault is Fault.NONE


def layout_changes_nothing(pair: tuple[Meaning, Meaning], writing: int, wrapping: int) -> None:
    """A verdict, right or wrong, stays when the answer is wrapped in layout."""
    writings = pair[1].writings()
    answer = writings[writing % len(writings)]
    wrapped = WRAPPINGS[wrapping % len(WRAPPINGS)](answer)
    for meaning in pair:
        reference = meaning.writings()[0]
        plain, laid_out = judged(reference, answer), judged(reference, wrapped)
        assert plain.outcome == laid_out.outcome, (reference, answer, wrapped, plain, laid_out)


def judged(reference: str, answer: str) -> Judgement:
    """The verdict on a boxed answer."""
    return judge(rf"\boxed{{{answer}}}", reference)
