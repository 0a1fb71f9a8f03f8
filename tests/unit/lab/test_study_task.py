"""Method chains: problems, demonstrations and verdicts."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from lab.study.task import (
    TaskShape,
    answer,
    demonstrate,
    is_correct,
    problem_stream,
    problem_text,
    response_length,
    right_method,
)
from vapo.demo.chain.splits import Split, split_of


def test_a_problem_and_its_answer() -> None:
    assert problem_text((3, 8, 4)) == "a3b8c4="
    assert answer("a3b8c4=") == 5


def test_a_demonstration_with_right_methods_is_written_out_and_right() -> None:
    shape = TaskShape(working=(1, 2, 4), right_method=1.0)
    response = demonstrate("a3b8c4=", shape, random.Random(0))
    assert response == "a3P03:3;b8R38383838:1;c4Q1414:5;=5"
    assert is_correct("a3b8c4=", response)


def test_wrong_methods_slip_by_one_and_the_slip_is_carried_along() -> None:
    shape = TaskShape(working=(1, 1), right_method=0.0, slip=1.0)
    response = demonstrate("a3b8c4=", shape, random.Random(0))
    assert response == "a3P03:4;b8Q48:3;c4Q34:8;=8"
    assert not is_correct("a3b8c4=", response)


@pytest.mark.parametrize(("working", "tokens"), [(1, 67), (6, 147), (29, 515)])
def test_the_length_of_a_response_follows_from_its_shape(working: int, tokens: int) -> None:
    shape = TaskShape(working=(working,) * 3)
    prompt = next(problem_stream(Split.TRAIN, 0, shape))
    response = demonstrate(prompt, shape, random.Random(0))
    assert len(response) + 1 == response_length(8, working) == tokens


def test_a_response_without_an_end_is_wrong() -> None:
    assert not is_correct("a3=", "a3P03:3;")
    assert not is_correct("a3=", "")


def test_streams_repeat_and_keep_to_their_split() -> None:
    shape = TaskShape(terms=(3, 5))
    first, again = (list(islice(problem_stream(Split.TRAIN, 1, shape), 20)) for _ in range(2))
    assert first == again
    assert {split_of(prompt) for prompt in first} == {Split.TRAIN}
    assert [len(prompt) for prompt in first[:4]] == [7, 11, 7, 11]
    assert first != list(islice(problem_stream(Split.TRAIN, 2, shape), 20))


def test_every_method_is_right_for_some_digit() -> None:
    shape = TaskShape(working=(1, 1, 1, 1))
    assert {right_method(digit, shape) for digit in range(10)} == set("PQRS")


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="methods"):
        TaskShape(working=(1,))
    with pytest.raises(ValueError, match="terms"):
        TaskShape(terms=(27,))
