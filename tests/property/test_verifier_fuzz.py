"""Fuzz: whatever the text, a verdict in bounded time and never "correct" by accident.

``make fuzz`` or ``python -m lab.benchmarks.verifier_fuzz --minutes 30`` runs longer and checks more.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.verifier.judgement.extraction import RULES
from services.verifier.judgement.math_answer import judge_cheaply
from services.verifier.judgement.verdicts import Outcome
from tests.support.formula_pieces import FORMULAS
from tests.support.hostile_answers import hostile_answers

EXAMPLES = 150
CPU_SECONDS = 1.0
"""For one answer of any size, on a slow machine; ordinary answers take microseconds."""
ALL_RULES = tuple(RULES)
REFERENCES = (
    "5",
    r"\frac{1}{2}",
    r"x^2+1",
    "(1,2)",
    r"\{1,2\}",
    "[0,1)",
    "Even",
    "C",
    "12:30",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    "x=2",
    r"3\pm\sqrt{2}",
    r"\$5.50",
)

HOSTILE = list(hostile_answers())


@given(answer=st.one_of(FORMULAS, st.text(max_size=80)), reference=st.sampled_from(REFERENCES))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_gets_a_verdict_in_bounded_time(answer: str, reference: str) -> None:
    for response in (rf"\boxed{{{answer}}}", answer):
        started = time.process_time()
        judgement = judge_cheaply(response, reference, ALL_RULES)
        assert time.process_time() - started < CPU_SECONDS
        assert judgement is None or judgement.outcome in Outcome


@pytest.mark.parametrize(("name", "response"), HOSTILE, ids=[name for name, _ in HOSTILE])
@pytest.mark.parametrize("rules", [("boxed",), ALL_RULES], ids=["boxed", "all"])
def test_a_hostile_answer_is_never_correct(name: str, response: str, rules: tuple[str, ...]) -> None:
    started = time.process_time()
    for reference in ("-17", r"\sqrt{7}", "y^2"):
        judgement = judge_cheaply(response, reference, rules)
        assert judgement is None or judgement.outcome is not Outcome.CORRECT, name
    assert time.process_time() - started < 3 * CPU_SECONDS
