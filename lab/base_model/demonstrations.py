r"""Worked answers to chain problems, in the two styles the base checkpoint learns to mix.

*Careful* lines write both columns out::

    58+48: 8+8=16 5+4+1=10 106
    106-29: 16-9=7 10-2-1=7 77

*In-head* lines give only the result (``58+48=96``), and get it wrong often: they drop most carries
and slip by one now and then. A wrong partial sum is carried on faithfully, so the final answer is
wrong too. Reinforcement learning has to find that writing the work out pays.

Invariants: a demonstration starts with a new line and ends with ``\boxed{...}``; an all-careful
demonstration is always right.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from vapo.demo.chain.chain import LARGEST_PARTIAL_SUM, ChainProblem


@dataclass(frozen=True)
class InHeadErrors:
    """How often in-head lines go wrong, as probabilities."""

    dropped_carry: float = 0.85
    """That a carry or a borrow is forgotten where there is one."""
    slip: float = 0.2
    """That the result is off by one (besides a forgotten carry)."""


def demonstrate(
    problem: ChainProblem, careful_share: float, generator: random.Random, errors: InHeadErrors | None = None
) -> str:
    r"""One worked answer: a line per partial sum, then ``\boxed{result}``.

    Each line is careful with probability ``careful_share``. Mistakes that lead outside 0..199,
    where two columns do not do, are drawn again.
    """
    while True:
        lines, result = _work_through(problem, careful_share, generator, errors or InHeadErrors())
        if result is not None:
            return "\n".join(["", *lines, f"\\boxed{{{result}}}"])


def _work_through(
    problem: ChainProblem, careful_share: float, generator: random.Random, errors: InHeadErrors
) -> tuple[list[str], int | None]:
    """The lines and the final result, or ``None`` where a partial sum left its range."""
    partial_sum, *rest = problem.operands
    lines: list[str] = []
    for operand in rest:
        careful = generator.random() < careful_share
        result = partial_sum + operand
        working = f": {_columns(partial_sum, operand)} " if careful else "="
        if not careful:
            result += _in_head_error(partial_sum, operand, errors, generator)
        if not 0 <= result <= LARGEST_PARTIAL_SUM:
            return lines, None
        lines.append(f"{partial_sum}{operand:+d}{working}{result}")
        partial_sum = result
    return lines, partial_sum


def has_carry(partial_sum: int, operand: int) -> bool:
    """Whether the units column carries (addition) or borrows (subtraction)."""
    units = partial_sum % 10
    return units + operand % 10 > 9 if operand > 0 else units < -operand % 10


def _columns(partial_sum: int, operand: int) -> str:
    """Units column, then the column of tens (which counts all tens, so up to 19)."""
    tens, units = divmod(partial_sum, 10)
    operand_tens, operand_units = divmod(abs(operand), 10)
    carry = has_carry(partial_sum, operand)
    if operand > 0:
        units_column = f"{units}+{operand_units}={units + operand_units}"
        total = tens + operand_tens + carry
        return f"{units_column} {tens}+{operand_tens}{'+1' * carry}={total}"
    units += 10 * carry
    units_column = f"{units}-{operand_units}={units - operand_units}"
    total = tens - operand_tens - carry
    return f"{units_column} {tens}-{operand_tens}{'-1' * carry}={total}"


def _in_head_error(partial_sum: int, operand: int, errors: InHeadErrors, generator: random.Random) -> int:
    error = 0
    if has_carry(partial_sum, operand) and generator.random() < errors.dropped_carry:
        error = -10 if operand > 0 else 10
    if generator.random() < errors.slip:
        error += generator.choice((-1, 1))
    return error
