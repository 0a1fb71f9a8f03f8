r"""The rules that are modules of their own, from both sides: what each accepts and must refuse."""

from __future__ import annotations

import pytest

from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.verdicts import Outcome


def accepted(reference: str, answer: str) -> bool:
    """Whether a boxed answer is judged correct."""
    return judge(rf"\boxed{{{answer}}}", reference).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        ("C", "C: 12", "(C), (D)"),
        ("C", r"\textbf{(C)}\ 12", "(C) or (D)"),
        ("C", "Option C", "C) A"),
        ("C", "(C)", "(C)+1"),
        ("(D) 12", "D", "(E) 12"),
        ("ACD", "A, C, D", "A, C"),
    ],
)
def test_a_choice_names_one_option(reference: str, right: str, wrong: str) -> None:
    assert accepted(reference, right)
    assert not accepted(reference, wrong)


@pytest.mark.parametrize(
    "remark",
    [
        r"\text{ million}",
        r"\text{ dozen}",
        r"\text{ or more}",
        r"\text{ (or } 6)",
        " (or six)",
        r"\text{ is impossible}",
        r"\text{ is too large}",
        r"\text{ plus 3}",
        r"\text{ at least}",
        r"\text{ squared}",
        " or 6",
        " twice",
        " infinitely",
        " seven",
    ],
)
def test_words_that_change_a_number_are_no_remark(remark: str) -> None:
    assert not accepted("5", f"5{remark}")


@pytest.mark.parametrize(
    "remark",
    [
        r"\text{ marbles}",
        " red marbles",
        r"\text{ (in total)}",
        r"\text{ is the answer}",
        " cm",
        r"\text{ (not } 6)",
        r"\text{ or } 5.0",
        r" (\approx 5.0)",
    ],
)
def test_other_remarks_are_left_out(remark: str) -> None:
    assert accepted("5", f"5{remark}")


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (r"3 \pmod 7", r"10 \pmod{7}", r"3 \pmod 5"),
        (r"3 \pmod 7", "3", "10"),
        (r"x \equiv 2 \pmod 5", r"2 \pmod 5", r"x \equiv 3 \pmod 5"),
        ("3120_4", r"3120_{\text{four}}", "3120_5"),
        ("101_2", "(101)_2", "5"),
        ("5", "5_7", "5_2"),
        (r"x \ne -2, 2", r"(-\infty,-2)\cup(-2,2)\cup(2,\infty)", r"x \ne 2"),
        (r"(-\infty,1)\cup(1,\infty)", r"\mathbb{R}\setminus\{1\}", r"\mathbb{R}"),
        (r"(4,\infty)", r"\{x \mid x > 4\}", r"\{x \mid x \ge 4\}"),
        ("]0,1]", "(0,1]", "[0,1]"),
        ("x > 0", r"\mathbb{R}^+", r"\mathbb{R}"),
        (r"\emptyset", r"\text{no solution}", "0"),
        (r"(\pm 1, 0)", "(1,0), (-1,0)", "(1,0)"),
        ("(1,-2)", "P(1,-2)", "P(-2,1)"),
        ("f(n)=n+1", "f(x)=x+1", "f(x)=x-1"),
        ("0.56", r"0.56 = 56\%", r"0.56 = 86\%"),
        ("2 hours 30 minutes", "150 minutes", "2.3 hours"),
        (r"37.5^\circ", r"37^\circ 30'", r"37^\circ 5'"),
        (r"\frac{5\pi}{6}", r"150^\circ", r"120^\circ"),
        (r"\lfloor\sqrt{n}\rfloor", r"\lfloor n^{1/2} \rfloor", r"\lfloor\sqrt[3]{n}\rfloor"),
        ("3½", "3.5", "15.5"),
        ("1e-3", "10^{-3}", "e-3"),
        ("10.00", "10.0", "10.01"),
        ("-3,0", "0, -3", "-3"),
        ("56", "C(8,3)", "P(8,3)"),
        (r"\frac52", r"\frac52 \text{ or } 2.5", r"\frac52 \text{ or } 2.6"),
        (r"\text{ellipse}", "The graph is an ellipse", "not an ellipse"),
        ("Yes", "Yes, because 3 divides 9", "Not always"),
    ],
)
def test_one_meaning_in_two_ways_of_writing(reference: str, right: str, wrong: str) -> None:
    assert accepted(reference, right)
    assert not accepted(reference, wrong)


ROOT = r"x\text{ is the positive root of }x^2-3=0\;(x\approx 1.7321)"


def test_a_number_may_be_a_root_and_its_decimal() -> None:
    assert accepted(r"\sqrt{3}", ROOT)


@pytest.mark.parametrize(
    "answer",
    [
        ROOT.partition(r"\;")[0],
        ROOT.replace("1.7321", "1.73"),
        ROOT.replace("1.7321", "1.7322"),
        ROOT.replace("x^2-3", "x^2-2"),
        ROOT.replace("x^2-3=0", "x-x=0"),
    ],
)
def test_an_equation_alone_or_another_one_is_no_number(answer: str) -> None:
    assert not accepted(r"\sqrt{3}", answer)


@pytest.mark.parametrize(
    ("reference", "answer"), [("D", "D: Hepatitis B"), ("E", "E: A polygenic score"), ("B", "(B) I and II only")]
)
def test_the_text_of_an_option_may_hold_a_letter(reference: str, answer: str) -> None:
    assert accepted(reference, answer)


@pytest.mark.parametrize(
    "answer", ["C: 12 or D", "C: A", "C: A B C D", "C: not A", "C) 12 and D) 13", "C: either A or C"]
)
def test_a_second_option_in_the_text_chooses_nothing(answer: str) -> None:
    assert not accepted("C", answer)
