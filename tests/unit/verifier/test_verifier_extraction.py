"""Where the verifier looks for an answer, and where it does not."""

from __future__ import annotations

import pytest

from services.verifier.judgement.extraction import RULES, extract

FALLBACKS = ("boxed", "hashes", "answer_phrase", "last_mathematics", "last_number")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"first \boxed{1}, no wait, it must be something else: \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{2}, \boxed{3} \text{ and } \boxed{5}", "2, 3, 5"),
        (r"\boxed{\text{first }\boxed{7}}", r"\text{first }\boxed{7}"),
        (r"\boxed {8}", "8"),
        (r"\fbox{9}", "9"),
        ("<|begin_of_box|>B<|end_of_box|>", "B"),
        (r"\boxed{1} then cut off \boxed{2", "1"),
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
    ],
)
def test_the_last_balanced_box(response: str, answer: str) -> None:
    assert extract(response) == answer


@pytest.mark.parametrize(
    "response",
    [
        "",
        "42",
        "The answer is 42.",
        r"\boxed{",
        r"\boxed{4",
        r"\boxed{ }",
        "boxed{4}",
        r"\boxed4",
        r"<think>\boxed{4}",
        r"<think>\boxed{4}</think> so it is 4",
        "#### 42",
        "$42$",
    ],
)
def test_no_credit_without_a_box(response: str) -> None:
    assert extract(response, ("boxed",)) is None


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("long working\n#### 1,234", "1,234"),
        ("The final answer is 17. I hope it is correct.", "17"),
        ("**Answer:** 3/4", "3/4"),
        ("Answer: it is $x+1$ after all", "x+1"),
        (r"it follows that \[ y = 2 \]", "y = 2"),
        ("she has 3 apples and 12,500 pears", "12,500"),
    ],
)
def test_fallback_rules_in_their_order(response: str, answer: str) -> None:
    assert extract(response, FALLBACKS) == answer


@pytest.mark.parametrize("response", ["open('marker', 'w').write('x') or 0", "globals()['__builtins__'] or 0"])
def test_a_program_states_no_answer(response: str) -> None:
    assert extract(response, ("boxed", "hashes", "answer_phrase", "last_value")) is None


def test_the_box_comes_before_the_fallbacks() -> None:
    assert extract(r"\boxed{1}. The answer is 2. #### 3", FALLBACKS) == "1"


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(KeyError, match="lucky"):
        extract("4", ("lucky",))
    assert "lucky" not in RULES
