"""Answers taken apart and compared by value, without sympy."""

from __future__ import annotations

import pytest

from services.verifier.judgement.comparison import compare
from services.verifier.judgement.formula_values import beyond_range, same_equation, same_value
from services.verifier.judgement.math_answer import judge_cheaply
from services.verifier.judgement.number_words import as_digits
from services.verifier.judgement.outer_form import Kind, take_apart
from services.verifier.judgement.times_of_day import same_time
from services.verifier.judgement.transcribed_columns import digits_of_column, join_column

FORMULAS = [
    (r"\sin(90^{\circ}-x)", r"\cos(x)", True),
    (r"\tan^2(y)+1", r"\sec^2(y)", True),
    (r"\frac{(n-1)!}{k!} \frac{n}{(n-k)!}", r"\frac{n!}{k!(n-k)!}", True),
    (r"\log_{3}2", r"\ln 2/\ln 3", True),
    ("sqrt(2)/2", r"\frac{1}{\sqrt{2}}", True),
    (r"2+e^{2\pi i/3}", r"\frac{3}{2}+i\frac{\sqrt{3}}{2}", True),
    ("3^{2025}", "2^{2025}", False),
    ("10^{20}+1", "10^{20}", False),
    (r"\sqrt{17}", "4.1231", False),
    ("x^2+1", "x^2+2", False),
    (r"\sqrt{x^2}", "x", None),
    ("|x|", "x", None),
    ("x+1", "y+1", False),
    (r"\log 100", "2", None),
    (r"\int x dx", "x", None),
    ("f(x)", "fx", None),
    ("dynamo", "monday", None),
    (r"\sqrt{3}", "9^{9^9}", None),
]

FORMS = [
    ("1,2,3", "3,2,1", True),
    ("1,2", "1,3", False),
    (r"\{1,2\}", r"\{2,1\}", True),
    ("(1,2)", "(2,1)", False),
    ("(1,2)", "[1,2]", False),
    ("1,2", "(1,2)", True),
    ("[2,5)", r"2 \le x < 5", True),
    (r"x \ge 2", r"[2,\infty)", True),
    ("2>x", "x<2", True),
    (r"(-\infty,1]\cup[3,\infty)", r"x \in (-\infty,1]\cup[3,+\infty)", True),
    (r"2 \pm \sqrt{3}", r"2-\sqrt{3}, 2+\sqrt{3}", True),
    (r"\pm 3", "3", False),
    ("x=2, y=3", "y=3, x=2", True),
    ("x_1=2, x_2=3", "3, 2", True),
    ("x=2, y=3", "3, 2", False),
    ("AB=4, CD=5", "4, 5", True),
    ("AB=4, CD=5", "5, 4", False),
    ("(x,y)=(3,2)", "(3,2)", True),
    ("2=x", "2", True),
    (r"\frac{\sqrt{3}}{3} \approx 0.577", r"\frac{1}{\sqrt{3}}", True),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", True),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}", True),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", False),
    (r"\begin{cases}x=1\\y=2\end{cases}", "y=2, x=1", True),
    ("5", "(5,6)", False),
    ("40_9", "129", False),
    ("40_9", "40", True),
    ("40_9", "39", False),
    ("10", "10m", None),
    ("10", "7m", False),
    ("Navin", "16", False),
    ("x+y=5", "y=5-x", True),
    ("2x+3y=6", "4x+6y=12", True),
    ("y=2x", "f(x)=2x", True),
    (r"(1,2) \text{ or } (3,4)", "(3,4),(1,2)", True),
    ("p=5,q=2;p=7,q=2", "p=5,q=2,p=7,q=2", True),
]


@pytest.mark.parametrize(("first", "second", "same"), FORMULAS)
def test_formulas_are_compared_by_value(first: str, second: str, same: bool | None) -> None:
    assert same_value(first, second) is same
    assert same_value(second, first) is same


@pytest.mark.parametrize(("reference", "answer", "same"), FORMS)
def test_forms_are_compared_part_by_part(reference: str, answer: str, same: bool | None) -> None:
    assert compare(take_apart(reference), take_apart(answer)) is same


def test_equations_are_the_same_when_one_is_a_multiple_of_the_other() -> None:
    assert same_equation(("x+y", "5"), ("-2x-2y", "-10"))
    assert same_equation(("x+y", "5"), ("x-y", "5")) is None


@pytest.mark.parametrize("text", ["9^{9^9}", r"\binom{9999999}{99999}", "99999!", r"\frac{1}{0}"])
def test_constants_beyond_range_are_never_computed(text: str) -> None:
    assert beyond_range(text)


def test_the_outer_form() -> None:
    kinds = {text: take_apart(text).kind for text in ("1,234", "1,2", "(1,2)", "{1,2}", "x<y<z")}
    assert list(kinds.values()) == [Kind.VALUE, Kind.LIST, Kind.SEQUENCE, Kind.SET, Kind.INTERVAL]


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("20:34:00", "20:34", True),
        (r"08:34 \text{P.M.}", "20:34", True),
        ("3:00 PM", "3:00", True),
        ("3:00 PM", "3:00 AM", False),
        ("7:32", "7:33", False),
        ("7:5", "7:05", None),
    ],
)
def test_times_of_day(reference: str, answer: str, same: bool | None) -> None:
    assert same_time(reference, answer) is same


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("eleven", "11"),
        ("Twenty one", "21"),
        ("3rd", "3"),
        ("first", "1"),
        ("even", "even"),
        ("1.5 million", r"1.5\times 10^{6}"),
        (r"0.\overline{3}", "3/9"),
        (r"0.1\overline{6}", "15/90"),
    ],
)
def test_numbers_in_words(text: str, digits: str) -> None:
    assert as_digits(text) == digits


def test_a_transcribed_column_is_a_line_and_a_vector_stays_a_vector() -> None:
    column = r"\begin{matrix} 1 \\ - \\ \dfrac{ \\ 2 \\ }{ \\ \pi \\ } \end{matrix}"
    assert same_value(join_column(column), r"1-\frac{2}{\pi}".replace(r"\frac", r"\dfrac")) is None
    assert join_column(column).split() == ["1", "-", r"\dfrac{", "2", "}{", r"\pi", "}"]
    vector = r"\begin{pmatrix} 1 \\ x+2 \end{pmatrix}"
    assert join_column(vector) == vector
    assert digits_of_column(r"\begin{matrix} 3 \\ 3 \\ 7 \end{matrix}") == "337"
    assert digits_of_column(vector) is None


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("3.1416", r"\pi", True),
        ("3.14", r"\pi", False),
        (r"\pi", "3.1416", False),
        ("0.6054", r"\cos^{10}(\frac{\pi}{10})", True),
        ("125.663", r"40\pi", True),
    ],
)
def test_a_rounded_reference_stands_for_what_rounds_to_it(reference: str, answer: str, correct: bool) -> None:
    judgement = judge_cheaply(rf"\boxed{{{answer}}}", reference)
    assert judgement is not None
    assert (judgement.outcome == "correct") == correct


def test_as_many_last_boxes_count_as_the_reference_has_parts() -> None:
    response = r"first \boxed{9}; for part (a) \boxed{(3, 3)} and for part (b) \boxed{(1, 1)}"
    for reference, outcome in ("(3,3), (1,1)", "correct"), ("(3,3)", "wrong"):
        judgement = judge_cheaply(response, reference)
        assert judgement is not None
        assert judgement.outcome == outcome


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("C", r"\text{(C)}", True),
        ("C", "C) 12", True),
        ("C", "A) C", False),
        ("A,B", "B, A", True),
        ("A,B", "A", False),
    ],
)
def test_choices(reference: str, answer: str, correct: bool) -> None:
    judgement = judge_cheaply(rf"\boxed{{{answer}}}", reference)
    assert (judgement is not None and judgement.outcome == "correct") == correct
