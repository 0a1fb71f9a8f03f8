from __future__ import annotations

import random

import pytest

from vapo.demo.chain.chain import (
    LARGEST_OPERAND,
    LARGEST_PARTIAL_SUM,
    SMALLEST_OPERAND,
    ChainProblem,
    normalised,
    parse_problem,
    sample_problem,
)


def test_prompt_and_answer() -> None:
    problem = ChainProblem((58, 48, -29))
    assert problem.prompt == "58+48-29=?"
    assert problem.answer == 77
    assert problem.terms == 3


@pytest.mark.parametrize("terms", [2, 3, 6, 9])
def test_partial_sums_stay_in_range(terms: int) -> None:
    generator = random.Random(7)
    for _ in range(300):
        operands = sample_problem(generator, terms).operands
        partial_sums = [sum(operands[:count]) for count in range(1, terms + 1)]
        assert len(operands) == terms
        assert all(SMALLEST_OPERAND <= abs(operand) <= LARGEST_OPERAND for operand in operands)
        assert 0 <= min(partial_sums) <= max(partial_sums) <= LARGEST_PARTIAL_SUM


def test_both_signs_occur() -> None:
    generator = random.Random(0)
    later = [sample_problem(generator, 3).operands[1:] for _ in range(200)]
    negative = sum(operand < 0 for operands in later for operand in operands)
    assert 100 < negative < 300


def test_one_term_is_refused() -> None:
    with pytest.raises(ValueError, match="terms=1"):
        sample_problem(random.Random(0), 1)


@pytest.mark.parametrize("text", ["58+48-29=?", " 58 + 48 -29 = ?\n", "58+48-29"])
def test_text_is_read_back(text: str) -> None:
    assert parse_problem(text) == ChainProblem((58, 48, -29))
    assert normalised(text) == "58+48-29"


@pytest.mark.parametrize("text", ["", "58=?", "58*48=?", "58+-48=?", "a+1=?"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a chain problem"):
        parse_problem(text)
