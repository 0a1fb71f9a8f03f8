from __future__ import annotations

import random
import re

import pytest

from lab.base_model.boxed_integer import boxed_integer
from lab.base_model.demonstrations import InHeadErrors, demonstrate
from vapo.demo.chain.chain import ChainProblem
from vapo.demo.chain.problem_sets import problem_set
from vapo.demo.chain.splits import Split

EXACT = InHeadErrors(dropped_carry=0.0, slip=0.0)


@pytest.mark.parametrize(
    ("operands", "lines"),
    [
        ((58, 48, -29), ["58+48: 8+8=16 5+4+1=10 106", "106-29: 16-9=7 10-2-1=7 77"]),
        ((58, -52, 21), ["58-52: 8-2=6 5-5=0 6", "6+21: 6+1=7 0+2=2 27"]),
        ((99, 99, -99), ["99+99: 9+9=18 9+9+1=19 198", "198-99: 18-9=9 19-9-1=9 99"]),
        ((10, -10), ["10-10: 0-0=0 1-1=0 0"]),
    ],
)
def test_careful_lines(operands: tuple[int, ...], lines: list[str]) -> None:
    problem = ChainProblem(operands)
    expected = "\n".join(["", *lines, f"\\boxed{{{problem.answer}}}"])
    assert demonstrate(problem, 1.0, random.Random(0)) == expected


@pytest.mark.parametrize("careful_share", [0.0, 0.5, 1.0])
def test_without_mistakes_every_answer_is_right(careful_share: float) -> None:
    generator = random.Random(1)
    for problem in problem_set(Split.WARM_UP, 500, seed=0):
        assert boxed_integer(demonstrate(problem, careful_share, generator, EXACT)) == problem.answer


def test_every_equation_of_a_careful_answer_holds() -> None:
    generator = random.Random(2)
    for problem in problem_set(Split.WARM_UP, 200, seed=1):
        equations = re.findall(r"(\S+)=(\d+)", demonstrate(problem, 1.0, generator))
        assert len(equations) == 2 * (problem.terms - 1)
        for expression, result in equations:
            assert sum(map(int, re.findall(r"[+-]?\d+", expression))) == int(result)


@pytest.mark.parametrize(
    ("operands", "line"), [((58, 48), "58+48=96"), ((58, -29), "58-29=39"), ((58, 41), "58+41=99")]
)
def test_dropped_carries(operands: tuple[int, ...], line: str) -> None:
    forgetful = InHeadErrors(dropped_carry=1.0, slip=0.0)
    answer = demonstrate(ChainProblem(operands), 0.0, random.Random(0), forgetful)
    assert answer.split("\n")[1] == line


def test_slips_are_off_by_one() -> None:
    slipping = InHeadErrors(dropped_carry=0.0, slip=1.0)
    generator = random.Random(0)
    answers = [demonstrate(ChainProblem((50, 7)), 0.0, generator, slipping) for _ in range(50)]
    assert {boxed_integer(answer) for answer in answers} == {56, 58}


def test_a_mistake_never_leaves_the_range_of_two_columns() -> None:
    sloppy = InHeadErrors(dropped_carry=0.9, slip=0.9)
    generator = random.Random(3)
    for problem in problem_set(Split.WARM_UP, 500, seed=2):
        results = re.findall(r"[ =](-?\d+)$", demonstrate(problem, 0.5, generator, sloppy), re.MULTILINE)
        assert len(results) == problem.terms - 1
        assert all(0 <= int(result) <= 199 for result in results)


@pytest.mark.parametrize(
    ("response", "answer"),
    [("\\boxed{77}", 77), ("\\boxed{1} then \\boxed{-2}", -2), ("77", None), ("\\boxed{}", None), ("\\boxed{7", None)],
)
def test_boxed_integer(response: str, answer: int | None) -> None:
    assert boxed_integer(response) == answer
