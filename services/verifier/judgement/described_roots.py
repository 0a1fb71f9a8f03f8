r"""A number given as the root of an equation, together with its decimal.

``R \text{ is the positive root of } 2R^3 - 17R - 15 = 0 \; (R \approx 3.284)`` says which number
is meant as exactly as a formula does: the equation has it, and the decimal says which root.

Invariant: the reference must solve the equation, the equation must not hold everywhere, and the
decimal must be the rounded reference with ``SIGNIFICANT_DIGITS`` digits or more. An equation alone
earns nothing: the problem may be that equation.
"""

from __future__ import annotations

import re

from services.verifier.judgement.arithmetic import Number, OutOfRange, approximate
from services.verifier.judgement.formula_values import constant, difference_at
from services.verifier.judgement.rounding import stands_for

_ROOT = re.compile(r"(?<![a-z])(?:root|solution|zero)(?![a-z])")
_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}")
_DECIMAL = re.compile(r"\\approx\s*(-?\d+\.\d+)")
_NUMERICALLY = re.compile(r"[(\s,;]*\\?[a-zA-Z]?\s*\\approx.*", re.DOTALL)
_EQUATION = re.compile(r"([^=<>]+)=([^=<>]+)")
STEP = 1e-2
SAME_RELATIVE = 1e-7
"""Of the difference of both sides at the root, to that one ``STEP`` away."""


def is_described_root(reference: str, answer: str) -> bool:
    """Whether ``answer`` describes the number that ``reference`` is; both are cleaned."""
    if r"\approx" not in answer or not _ROOT.search(answer):
        return False
    decimal, equation = _DECIMAL.search(answer), _equation(answer)
    number = constant(reference)
    if decimal is None or equation is None or number is None:
        return False
    return stands_for(decimal[1], number) and _solves(number, *equation)


def _equation(answer: str) -> tuple[str, str] | None:
    for piece in _TEXT.split(answer):
        match = _EQUATION.fullmatch(_NUMERICALLY.sub("", piece))
        if match:
            return match[1], match[2]
    return None


def _solves(number: Number, left: str, right: str) -> bool:
    try:
        root = approximate(number)
    except OutOfRange:
        return False
    if isinstance(root, complex):
        return False
    step = STEP * max(1.0, abs(root))
    at, below, above = (difference_at(left, right, root + k * step) for k in (0, -1, 1))
    if at is None or below is None or above is None:
        return False
    beside = min(abs(below), abs(above))
    return beside > 0 and abs(at) <= SAME_RELATIVE * beside
