r"""Words, digits and upright letters beside a number: what may be left out and what may not."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.verifier.judge_file import ANY_ANSWER, WHOLE_RESPONSE
from services.verifier.judgement.counted_words import is_counted
from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.verdicts import Outcome

COMMANDS = st.sampled_from(("text", "mathrm", "mbox", "hbox", "textbf", "textit", "textrm"))
SPACES = st.sampled_from(("", " ", r"\,", r"\ ", "~"))
DIGITS = st.text(string.digits, min_size=1, max_size=3).filter(lambda text: text.strip("0") != "")
OPERATORS = st.builds("{} {}".format, st.sampled_from(tuple("+-*/^x")), st.integers(2, 99))
# Not "2nd". Hypothesis draws such words from the constants of whichever modules happen to be imported.
UNKNOWN = st.text(string.ascii_lowercase, min_size=2, max_size=9).filter(
    lambda word: not is_counted(word) and word not in ("or", "and", "st", "nd", "rd", "th")
)
CONJUNCTIONS = st.builds(
    "{} {}".format,
    st.sampled_from(("or", "oder", "ou", "o", "y", "and", "und", "et", "then", "not", "或", "или")),
    st.integers(100, 999),
)
LETTERS = st.sampled_from(("i", "e", "d", "x", "y", "n", "j", "z"))
SAYS_MORE = st.one_of(DIGITS, OPERATORS, UNKNOWN, CONJUNCTIONS, LETTERS)


def accepted(reference: str, answer: str) -> bool:
    """Whether a boxed answer is judged correct."""
    return judge(rf"\boxed{{{answer}}}", reference).outcome is Outcome.CORRECT


@given(st.integers(2, 99), SAYS_MORE, COMMANDS, SPACES)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_a_number_with_other_text_after_it_is_not_the_number(number: int, text: str, command: str, space: str) -> None:
    assert not accepted(str(number), rf"{number}{space}\{command}{{{text}}}")
    assert not accepted(str(number), rf"{number} \{command}{{ {text} }}")


@given(st.integers(2, 99), st.one_of(UNKNOWN, CONJUNCTIONS))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_number_with_other_words_around_it_is_not_the_number(number: int, text: str) -> None:
    assert not accepted(str(number), rf"\text{{{text} is }} {number}")
    if len(text) > 3:
        assert not accepted(str(number), f"{number} {text}")


@given(st.integers(2, 99), st.text(string.ascii_lowercase, min_size=4, max_size=9), COMMANDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_unknown_words_count_if_they_are_those_of_the_reference(number: int, word: str, command: str) -> None:
    reference = rf"{number} \text{{ {word}s }}"
    same = rf"{number}~\{command}{{{word}s}}"
    assert accepted(reference, same) or not accepted(reference, reference)
    assert not accepted(reference, rf"{number + 1} \text{{ {word}s }}")


@pytest.mark.parametrize(
    "unit",
    [
        r"\text{ cm}",
        r"\text{ km/h}",
        r"\text{ m/s}^2",
        r"\mathrm{m}",
        r"\,\mathrm{g}",
        r"\text{ square units}",
        r"\text{ red marbles}",
        r"\text{ cookies per cup of flour}",
        r"\text{ people}",
        r"\text{ (in total)}",
        r"\text{ is the answer}",
        r"\text{ in all}",
        " red marbles in the bag",
        " cm",
        r"^\circ\text{C}",
        r"\text{ mol}",
        r"\text{ US dollars}",
    ],
)
@pytest.mark.parametrize("number", ["7", r"\frac{7}{3}", "3.5"])
def test_a_unit_that_the_reference_lacks_is_left_out(number: str, unit: str) -> None:
    assert accepted(number, f"{number}{unit}")


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"7 \text{ widgets}", "7"),
        ("7 zorbs", "7"),
        (r"7 \text{ zorbs}", "7 zorbs"),
        (r"7 \text{ zorbs}", r"7 \text{ zorb}"),
        (r"\text{Rate: } 7", "7"),
    ],
)
def test_a_reference_may_count_anything(reference: str, answer: str) -> None:
    assert accepted(reference, answer)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [(r"7 \text{ lakh}", "7"), (r"7 \text{ zorbs}", r"7 \text{ blorbs}"), (r"12\text{x}", "12"), ("7 dozen", "7")],
)
def test_words_that_change_a_reference_are_not_left_out(reference: str, answer: str) -> None:
    assert not accepted(reference, answer)


@pytest.mark.parametrize(
    "answer",
    [
        r"\text{6 or: }7",
        r"\text{not: }7",
        r"\text{Bob is }7",
        r"\text{The wrong answer is }7",
        r"\text{less than }7",
        r"\text{not the answer} = 7",
        r"\text{wrong}: 7",
        r"7\ldots",
        "7...",
        "7'",
        r"\text{anything but: }7",
        r"\text{2}7",
        "8 = 7",
        "1 = 2 = 7",
        r"9 \approx 7",
    ],
)
def test_words_and_signs_that_deny_a_number_are_read(answer: str) -> None:
    assert not accepted("7", answer)


@pytest.mark.parametrize(
    "answer",
    [
        r"\text{The answer is }7",
        r"\text{The number of ways is } 7",
        r"\text{Area} = 7",
        "3 + 4 = 7",
        r"\text{Therefore, we have: } 7",
        r"\text{exactly } 7",
    ],
)
def test_words_that_introduce_a_number_are_left_out(answer: str) -> None:
    assert accepted("7", answer)


@pytest.mark.parametrize(
    "text",
    [
        "The wrong answer is 7",
        "The answer is not 7",
        "The answer isn't 7",
        "It is not 7.",
        "So the incorrect answer is $7$.",
        "The answer cannot be 7",
        "The answer is anything but 7",
        "7 is not the answer",
        "Certainly 7 is wrong.",
        "A common wrong answer: 7",
        "(lambda: 7)()",
        r"not \boxed{7}",
        r"The wrong answer is \boxed{7}",
        r"\boxed{7} is not the answer",
        r"It is \boxed{8}, not \boxed{7}",
    ],
)
def test_an_answer_that_the_text_denies_is_none(text: str) -> None:
    for rules in (ANY_ANSWER, WHOLE_RESPONSE, ("boxed",)):
        if not (text.startswith("(lambda") and rules is WHOLE_RESPONSE):
            assert judge(text, "7", rules).outcome is not Outcome.CORRECT


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 7",
        "It is not 5. The answer is 7",
        "It is not 5 but 7",
        "The answer to the first part is wrong; the answer is 7",
        "The answer is clearly 7",
        r"This is not 5, hence \boxed{7}",
        r"\boxed{7}, not \boxed{8}",
        r"\boxed{7} is not even",
        r"The first try is wrong. The answer: \boxed{7}",
        r"so $x \neq 3$, that is $\boxed{7}$",
    ],
)
def test_a_denial_of_something_else_harms_no_answer(text: str) -> None:
    assert judge(text, "7", ANY_ANSWER).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (r"2-3\mathrm{i}", "2-3i", "-1"),
        ("2-3i", r"2-3\mathrm{i}", "2-3"),
        (r"2\mathrm{e}", "2e", "2"),
        (r"\frac{1}{\mathrm{e}}", "e^{-1}", "1"),
        (r"x^2\mathrm{e}^{x}", "x^2e^x", "x^2"),
        (r"\mathrm{e}^{\mathrm{i}\pi}", "-1", "1"),
        (r"(1,\mathrm{i})", "(1,i)", "(1,1)"),
        ("4x", r"4\text{x}", "4"),
        (
            r"\begin{pmatrix}1\\ \mathrm{i}\end{pmatrix}",
            r"\begin{pmatrix}1\\ i\end{pmatrix}",
            r"\begin{pmatrix}1\\ 1\end{pmatrix}",
        ),
        (r"\int_0^1 2x\,\mathrm{d}x", "1", "2"),
        ("7d", r"7\mathrm{d}", "7"),
    ],
)
def test_upright_letters_of_mathematics_are_no_units(reference: str, right: str, wrong: str) -> None:
    assert accepted(reference, right)
    assert not accepted(reference, wrong)


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (r"2.5 \text{ kJ}", r"2500 \text{ J}", r"2.5 \text{ J}"),
        (r"3 \text{ quarts}", r"6 \text{ pints}", r"3 \text{ pints}"),
        (r"5 \text{ gallons}", r"20 \text{ quarts}", r"5 \text{ quarts}"),
        (r"5 \text{ MB}", r"5000 \text{ kB}", r"5 \text{ GB}"),
        (r"1 \text{ atm}", r"101325 \text{ Pa}", r"1 \text{ bar}"),
        (r"5 \text{ nm}", r"5\times 10^{-9}\text{ m}", r"5 \text{ mm}"),
        (r"1 \text{ kWh}", r"3.6 \text{ MJ}", r"1 \text{ kW}"),
        (r"2 \text{ ha}", r"20000 \text{ m}^2", r"2 \text{ m}^2"),
        (r"20^\circ \text{C}", r"20 ^\circ C", r"20^\circ\text{F}"),
        (r"5 \text{ A}", r"5000\text{ mA}", r"5 \text{ V}"),
        (r"2 \text{ mol}", "2", r"2 \text{ g}"),
        (r"10 \text{ J/s}", r"10 \text{ W}", r"10 \text{ J}"),
        (r"2 \text{ dozen eggs}", "24", "2"),
    ],
)
def test_units_on_both_sides_are_converted_or_refused(reference: str, right: str, wrong: str) -> None:
    assert accepted(reference, right)
    assert not accepted(reference, wrong)


@pytest.mark.parametrize(
    "thing", ["pounds of meat", "cups of feed", "hours of work", "real roots", "ordered pairs", "days ago"]
)
def test_units_of_something_and_plurals_are_counted(thing: str) -> None:
    assert accepted("18", rf"18 \text{{ {thing}}}")
    assert not accepted("18", rf"19 \text{{ {thing}}}")


@pytest.mark.parametrize("words", ["root", "cups of thousand", "of", "pairs", "crore of cups", "B"])
def test_such_words_are_not(words: str) -> None:
    assert not accepted("18", rf"18 \text{{ {words}}}")
