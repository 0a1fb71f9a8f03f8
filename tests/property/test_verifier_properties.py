"""Properties of the judgement that hold for every input."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.verifier.judgement.extraction import RULES, extract
from services.verifier.judgement.math_answer import judge_cheaply
from services.verifier.judgement.verdicts import Outcome

ALL_RULES = tuple(RULES)
LATEX_PIECES = st.sampled_from(
    [
        r"\boxed{",
        r"\frac",
        r"\text{",
        r"\left",
        r"\begin{matrix}",
        r"\end{matrix}",
        r"\\",
        r"\{",
        "{",
        "}",
        "$",
        "$$",
        "^",
        "_",
        "(",
        ")",
        ",",
        "=",
        "!",
        "9",
        "10",
        "x",
        " ",
        "\n",
        "#### ",
        "answer is ",
        r"\pm",
        "%",
        "½",
        "\u202e",
        "\x00",
        "\ud800",
        "<think>",
        "</think>",
    ]
)
LATEX = st.lists(LATEX_PIECES, max_size=40).map("".join)
TEXT = st.one_of(st.text(max_size=300), LATEX)
NUMBERS = st.one_of(st.integers(-(10**30), 10**30).map(Fraction), st.fractions(max_denominator=10**6))


@given(response=TEXT, reference=TEXT)
@settings(max_examples=200, deadline=None)
def test_the_cheap_judgement_never_raises(response: str, reference: str) -> None:
    for rules in (("boxed",), ALL_RULES):
        judgement = judge_cheaply(response, reference, rules)
        assert judgement is None or judgement.outcome in Outcome


@given(number=NUMBERS)
@settings(deadline=None)
def test_a_printed_number_is_itself(number: Fraction) -> None:
    for printed in {str(number), rf"\frac{{{number.numerator}}}{{{number.denominator}}}"}:
        judgement = judge_cheaply(rf"\boxed{{{printed}}}", str(number))
        assert judgement is not None
        assert judgement.outcome is Outcome.CORRECT


@given(first=NUMBERS, second=NUMBERS)
@settings(deadline=None)
def test_different_rationals_are_different(first: Fraction, second: Fraction) -> None:
    judgement = judge_cheaply(rf"\boxed{{{first}}}", str(second))
    assert judgement is not None
    assert (judgement.outcome is Outcome.CORRECT) == (first == second)


@given(response=TEXT.filter(lambda text: "box" not in text), number=st.integers(-1000, 1000))
@settings(deadline=None)
def test_no_credit_without_a_box(response: str, number: int) -> None:
    judgement = judge_cheaply(f"{response} {number}", str(number))
    assert judgement is not None
    assert judgement.outcome is Outcome.NO_ANSWER


@pytest.mark.slow
@given(piece=LATEX_PIECES, other=LATEX_PIECES)
@settings(max_examples=30, deadline=None)
def test_extraction_of_a_huge_response_is_quick(piece: str, other: str) -> None:
    response = piece * 60_000 + other * 60_000
    started = time.process_time()
    judge_cheaply(response, "5", ALL_RULES)
    extract(response, ALL_RULES)
    # Not a speed goal: quadratic work would take minutes here.
    assert time.process_time() - started < 20.0
