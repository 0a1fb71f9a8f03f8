"""Verdicts of the mathematical verifier, case by case."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.verifier.judgement.math_answer import check_reference, judge, judge_cheaply
from services.verifier.judgement.verdicts import Fault, Outcome, ReferenceFault


def boxed(answer: str) -> str:
    return rf"Thus \boxed{{{answer}}}"


SAME_NUMBER = [
    ("42", "42"),
    ("42", "042"),
    ("42", "+42"),
    ("42", "42.0"),
    ("-3", "−3"),
    ("7", "٧"),
    ("1000", "1,000"),
    ("1000", "1{,}000"),
    ("1000000", r"1\,000\,000"),
    ("0.5", r"\frac12"),
    ("1/2", r"\dfrac{1}{2}"),
    ("-1/2", r"-\frac{1}{2}"),
    ("-1/2", r"\frac{-1}{2}"),
    ("1.5", "1 1/2"),
    ("1.5", r"1\frac{1}{2}"),
    ("0.333333", "1/3"),
    ("1500", r"1.5 \times 10^3"),
    ("0.000354", "3.54e-4"),
    ("0.25", r"25\%"),
    ("25", r"25\%"),
    ("5", r"\$5.00"),
    ("5", r"5 \text{ cm}"),
    ("10", "10 weeks"),
    ("90", r"90^\circ"),
    ("7", "x = 7"),
    (r"\boxed{12}", "12"),
    ("#### 8", "8"),
    ("1.22", "1,22"),
    ("0,111", "0.111"),
]
OTHER_NUMBER = [
    ("42", "43"),
    ("12345678902", "12345678901"),
    ("1/3", "0.33"),
    ("17", "17.001"),
    ("17", "17.00001"),
    ("0.5", "0.500001"),
    ("10", "1 0"),
    ("11/2", "1 1/2"),
    ("5", r"50\%"),
    ("0.0000001", "0.0000002"),
]
SYMBOLIC = [
    ("x+1", "1+x", True),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt 2}", True),
    ("(x+1)^2", "x^2+2x+1", True),
    (r"\{1,2\}", r"\{2, 1\}", True),
    (r"1 \pm x", "1+x, 1-x", True),
    (r"\begin{pmatrix}1\\0.5\end{pmatrix}", r"\begin{pmatrix}1\\\frac12\end{pmatrix}", True),
    ("x<3", "3>x", True),
    ("x^2", "x^3", False),
    ("(1,2)", "(2,1)", False),
    ("3", "x+3", False),
    (r"\pi", "3.14", False),
    ("10", "10xy", False),
    ("1,22", "22,1", True),
]


@pytest.mark.parametrize(("reference", "answer"), SAME_NUMBER)
def test_the_same_number_is_correct_without_symbolic_work(reference: str, answer: str) -> None:
    judgement = judge_cheaply(boxed(answer), reference)
    assert judgement is not None
    assert judgement.outcome is Outcome.CORRECT


@pytest.mark.parametrize(("reference", "answer"), OTHER_NUMBER)
def test_another_number_is_wrong(reference: str, answer: str) -> None:
    assert judge(boxed(answer), reference).outcome is Outcome.WRONG


@pytest.mark.parametrize(("reference", "answer", "same"), SYMBOLIC)
def test_formulas_are_compared_by_meaning(reference: str, answer: str, same: bool) -> None:
    assert judge(boxed(answer), reference).outcome is (Outcome.CORRECT if same else Outcome.WRONG)


@pytest.mark.parametrize(("answer", "same"), [("Even", True), ("even", True), ("odd", False)])
def test_words_are_compared_as_words(answer: str, same: bool) -> None:
    judgement = judge_cheaply(boxed(rf"\text{{{answer}}}"), "Even")
    assert judgement is None or (judgement.outcome is Outcome.CORRECT) == same
    assert (judge(boxed(answer), "Even").outcome is Outcome.CORRECT) == same


def test_anagrams_are_not_products_of_the_same_letters() -> None:
    assert judge(boxed("dynamo"), "Monday").outcome is Outcome.WRONG


def test_no_answer_says_which_rules_were_tried() -> None:
    judgement = judge_cheaply("The answer is 42", "42")
    assert judgement is not None
    assert judgement.outcome is Outcome.NO_ANSWER
    assert "boxed" in judgement.reason


@pytest.mark.parametrize("reference", ["", "  ", "x" * 9000, r"\boxed{}"])
def test_an_impossible_reference_is_the_tasks_fault(reference: str) -> None:
    judgement = judge(boxed("1"), reference)
    assert (judgement.outcome, judgement.fault) == (Outcome.ERROR, Fault.REFERENCE)
    with pytest.raises(ReferenceFault):
        check_reference(reference)


@pytest.mark.parametrize(
    ("reference", "same"),
    [
        (r"A \cap B", r"A\cap B"),
        (r"A \cap B", "A ∩ B"),
        (r"10 \bmod 7", r"10\bmod 7"),
        (r"x \to \infty", r"x\to\infty"),
        (r"\foo+\bar", r"\foo + \bar"),
        (r"1:2:4:\ldots", r"1 : 2 : 4 : \ldots"),
        (r"k\in\mathbb{Z}, x=k\pi", r"k \in \mathbb{Z}, x = k\pi"),
        (r"\angle ABC", r"\angle ABC"),
    ],
)
def test_a_reference_that_is_no_formula_is_compared_as_text(reference: str, same: str) -> None:
    """An error would leave out the wrong answers and pay the right ones."""
    assert judge(boxed(same), reference).outcome is Outcome.CORRECT
    for other in ("5", "x", r"A \cup B", r"11 \bmod 7", r"x \to 0", r"\frac{x}{y}", "no"):
        judgement = judge(boxed(other), reference)
        assert (judgement.outcome, judgement.fault) == (Outcome.WRONG, Fault.NONE), other


def test_broken_latex_as_reference_makes_other_answers_wrong() -> None:
    for answer in ("5", r"\frac{x}{2}", r"x^{2}"):
        judgement = judge(boxed(answer), r"\frac{x")
        assert (judgement.outcome, judgement.fault) == (Outcome.WRONG, Fault.NONE)


def test_texts_of_a_judgement_are_short_and_encodable() -> None:
    judgement = judge(boxed("\ud800" * 1000), "5")
    assert judgement.extracted is not None
    assert len(judgement.extracted) <= 500
    judgement.extracted.encode("utf-8")


def test_the_cheap_judgement_needs_no_sympy() -> None:
    code = (
        "import sys\n"
        "from services.verifier.judgement.math_answer import judge_cheaply\n"
        "judgement = judge_cheaply(r'\\boxed{1/2}', '0.5')\n"
        "assert judgement.outcome == 'correct', judgement\n"
        "sys.exit('sympy' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
