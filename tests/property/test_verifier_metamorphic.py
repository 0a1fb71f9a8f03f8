"""What must hold between verdicts: the same answer in other writing is right, another is wrong."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import verifier_properties as properties
from tests.support.verifier_answers import Meaning, different, meanings

CHOICE = st.integers(0, 6)


@given(meaning=meanings(), first=CHOICE, second=CHOICE)
@settings(max_examples=150, deadline=None)
def test_the_same_answer_in_other_writing_is_correct(meaning: Meaning, first: int, second: int) -> None:
    properties.same_answer_is_correct(meaning, first, second)


@given(pair=different(), first=CHOICE, second=CHOICE)
@settings(max_examples=200, deadline=None)
def test_an_answer_with_another_number_is_wrong(pair: tuple[Meaning, Meaning], first: int, second: int) -> None:
    properties.different_answers_are_wrong(pair, first, second)


@given(pair=different(), writing=CHOICE, wrapping=CHOICE)
@settings(max_examples=150, deadline=None)
def test_layout_changes_no_verdict(pair: tuple[Meaning, Meaning], writing: int, wrapping: int) -> None:
    properties.layout_changes_nothing(pair, writing, wrapping)
