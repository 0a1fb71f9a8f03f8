"""The table of disagreements in docs/verifier.md is what the verifier does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.benchmarks.verifier_accuracy import RULES, read
from lab.benchmarks.verifier_disagreements import KNOWN, table
from services.verifier.judgement.math_answer import judge

PAGE = Path(__file__).parents[3] / "docs" / "verifier.md"
CASES = list(read(KNOWN))


@pytest.mark.parametrize("case", CASES, ids=[f"{k}-{case['kind']}" for k, case in enumerate(CASES)])
def test_every_row_is_still_judged_so(case: dict[str, Any]) -> None:
    judgement = judge(case["prediction"], case["gold"], RULES[case["form"]])
    assert judgement.outcome == case["verdict"]
    assert (judgement.outcome == "correct") != case["expected"]
    assert case["who_is_right"]


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    after = page.partition("<!-- disagreements -->")[2]
    assert after.partition("<!-- end of disagreements -->")[0].strip() == table(CASES)
