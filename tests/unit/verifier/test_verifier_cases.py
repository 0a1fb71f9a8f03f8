"""Agreement with the project's own labelled cases: no wrong answer passes, few right ones fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.verifier.judge_file import ANY_ANSWER, WHOLE_RESPONSE
from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.verdicts import Outcome

CASES = Path(__file__).parents[2] / "data" / "verifier_cases.jsonl"
RULES = {"answer": ANY_ANSWER, "response": WHOLE_RESPONSE}
NEEDED_RECALL = 0.98


@pytest.fixture(scope="module")
def judged() -> list[tuple[dict[str, Any], bool]]:
    """Every case, and whether its answer was judged correct."""
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    return [
        (case, judge(case["prediction"], case["gold"], RULES[case["form"]]).outcome is Outcome.CORRECT)
        for case in cases
    ]


def test_no_wrong_answer_is_judged_correct(judged: list[tuple[dict[str, Any], bool]]) -> None:
    passed = [
        (case["gold"], case["prediction"])
        for case, correct in judged
        if correct and not case["expected"] and "contested" not in case
    ]
    assert passed == []
    assert sum(not case["expected"] for case, _ in judged) >= 600
    assert sum("contested" in case for case, _ in judged) <= 2


def test_right_answers_in_other_writing_are_judged_correct(judged: list[tuple[dict[str, Any], bool]]) -> None:
    right = [(case, correct) for case, correct in judged if case["expected"]]
    missed = [(case["gold"], case["prediction"]) for case, correct in right if not correct]
    assert len(missed) <= (1 - NEEDED_RECALL) * len(right), missed
