"""Chain problems: a run of two-digit additions and subtractions, read from left to right.

Invariants: operands are 10..99; every partial sum lies in 0..199, so that two columns (units,
and the number of tens) are enough to work any step out; the text of a problem determines it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

SMALLEST_OPERAND = 10
LARGEST_OPERAND = 99
LARGEST_PARTIAL_SUM = 199
FEWEST_TERMS = 2

_CHAIN = re.compile(r"\d+(?:[+-]\d+)+")
_SIGNED_TERM = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class ChainProblem:
    """Signed operands of one chain, e.g. ``(58, 48, -29)`` for ``58+48-29=?``."""

    operands: tuple[int, ...]

    @property
    def terms(self) -> int:
        """Number of operands: the grade of difficulty."""
        return len(self.operands)

    @property
    def expression(self) -> str:
        """The chain without the question, e.g. ``58+48-29``."""
        first, *rest = self.operands
        return str(first) + "".join(f"{operand:+d}" for operand in rest)

    @property
    def prompt(self) -> str:
        """What the model is asked, e.g. ``58+48-29=?``; its answer starts with a new line."""
        return f"{self.expression}=?"

    @property
    def answer(self) -> int:
        """The value of the chain."""
        return sum(self.operands)


def sample_problem(generator: random.Random, terms: int) -> ChainProblem:
    """Draw one chain of ``terms`` operands.

    Raises:
        ValueError: if ``terms`` is below 2.
    """
    if terms < FEWEST_TERMS:
        raise ValueError(f"a chain needs at least {FEWEST_TERMS} terms, got terms={terms}")
    operands = [_sample_operand(generator)]
    while len(operands) < terms:
        operands.append(_sample_signed_operand(generator, partial_sum=sum(operands)))
    return ChainProblem(tuple(operands))


def parse_problem(text: str) -> ChainProblem:
    """Read ``58+48-29=?`` (white space and the question are optional) back into a problem.

    Raises:
        ValueError: if the text is not a chain of at least two integers.
    """
    expression = normalised(text)
    if not _CHAIN.fullmatch(expression):
        raise ValueError(f"not a chain problem: {text!r}; expected a form such as '58+48-29=?'")
    return ChainProblem(tuple(int(term) for term in _SIGNED_TERM.findall(expression)))


def normalised(text: str) -> str:
    """The expression alone: no white space, no ``=`` and no ``?``. Decides a problem's split."""
    return re.sub(r"\s+", "", text).rstrip("=?")


def _sample_operand(generator: random.Random) -> int:
    return generator.randint(SMALLEST_OPERAND, LARGEST_OPERAND)


def _sample_signed_operand(generator: random.Random, partial_sum: int) -> int:
    operand = _sample_operand(generator)
    subtract = generator.random() < 0.5
    if partial_sum < operand:
        subtract = False
    elif partial_sum + operand > LARGEST_PARTIAL_SUM:
        subtract = True
    return -operand if subtract else operand
