r"""Letters: symbols keep their case, words their order; boxes that are left blank."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.verdicts import Outcome

TEMPLATES = (
    r"\frac{{{0}{1}}}{{{0}+{1}}}",
    "{0}+2{1}",
    r"{0}^2-{1}",
    r"\sqrt{{{0}{1}^3}}",
    "({0},{1})",
    r"\{{{0},{1}^2\}}",
    r"\begin{{pmatrix}}{0}\\{1}^2\end{{pmatrix}}",
    r"\sum_{{k=1}}^{{{0}}} k{1}",
    "y={0}x+{1}",
)
WORDS = """
    May Amy cat act dog god north thorn abc cba Leon Noel saw was ABC ACB red green Monday dynamo
""".split()  # noqa: SIM905 - pairs read better in a line


def accepted(reference: str, answer: str) -> bool:
    """Whether a boxed answer is judged correct."""
    return judge(rf"\boxed{{{answer}}}", reference).outcome is Outcome.CORRECT


@given(st.sampled_from(TEMPLATES), st.sampled_from("mrabRhv"))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_capital_is_another_symbol(template: str, letter: str) -> None:
    small, large = letter.lower(), letter.upper()
    formula = template.format(small, large)
    assert accepted(formula, formula.replace("{pmatrix}", "{bmatrix}"))
    for first, second in ((small, small), (large, large), (large, small)):
        assert not accepted(formula, template.format(first, second)) or (
            sorted((first, second)) == sorted((small, large)) and template == TEMPLATES[0]
        )


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("A+a", "2a"),
        ("Rr", "r^2"),
        ("M-m", "0"),
        ("2R", "2r"),
        ("n!-N", "n!-n"),
        (r"\pi(R^2-r^2)h", r"\pi(R^2-R^2)h"),
        (r"\int_0^R x dx", r"\int_0^r x dx"),
        ("x+y", "x+z"),
    ],
)
def test_formulas_in_other_symbols_are_other_formulas(reference: str, answer: str) -> None:
    assert not accepted(reference, answer)
    assert not accepted(answer, reference)


@given(st.text("abcdefghmnrstuw", min_size=3, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_letters_alone_are_a_word_whose_order_counts(word: str, generator: random.Random) -> None:
    other = "".join(generator.sample(word, len(word)))
    assert accepted(word, other) is (word == other)
    assert accepted(word, word.upper())
    assert accepted(word, rf"\text{{{word.capitalize()}}}")


@pytest.mark.parametrize(("first", "second"), list(zip(WORDS[::2], WORDS[1::2], strict=True)))
def test_anagrams_and_other_words_are_other_answers(first: str, second: str) -> None:
    for wrapping in ("{}", r"\text{{{}}}", r"\mathrm{{{}}}"):
        assert not accepted(first, wrapping.format(second))
        assert accepted(first, wrapping.format(first))


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("xy", "yx"),
        ("AB", "BA"),
        ("Anna and Bob", "Bob and Anna"),
        ("D", "d"),
        ("C", "(c)"),
        ("NO", "no"),
        (r"\varepsilon", r"\epsilon"),
        (r"G\frac{Mm}{r^2}", r"\frac{GmM}{r^2}"),
    ],
)
def test_the_same_product_list_or_option_in_another_order_or_case(reference: str, answer: str) -> None:
    assert accepted(reference, answer)


@pytest.mark.parametrize(
    ("reference", "answer"), [(r"\{1,2\}", "(1,2)"), ("(1,2,3)", r"\{1,2,3\}"), ("1, 2", "[1,2]"), ("[1,2]", "1, 2")]
)
def test_a_set_is_no_tuple_and_a_list_no_interval(reference: str, answer: str) -> None:
    assert not accepted(reference, answer)


def test_a_box_in_a_comment_is_not_seen() -> None:
    assert judge(r"\boxed{8} <!-- \boxed{7} -->", "7").outcome is Outcome.WRONG
    assert judge(r"<!-- \boxed{8} --> \boxed{7} <!--", "7").outcome is Outcome.CORRECT


BLANK = ["", " ", r"\,", "{}", "~", r"\text{ }", r"\quad", "$$", r"\ldots", "..."]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("box", [r"\boxed{{{}}}", r"\fbox{{{}}}"])
def test_the_last_box_that_is_not_blank_counts(blank: str, box: str) -> None:
    response = f"So it is {box.format(7)}.\n\nWrite the answer in {box.format(blank)}"
    judgement = judge(response, "7")
    assert (judgement.outcome, judgement.extracted) == (Outcome.CORRECT, "7")
    first = f"At first {box.format(7)}, then {box.format(8)} in place of {box.format(blank)}"
    assert judge(first, "7").outcome is Outcome.WRONG
    alone = judge(f"Answer: {box.format(blank)}", "7").outcome
    assert alone in (Outcome.NO_ANSWER, Outcome.WRONG)
