"""Decimals that stand for a number they are rounded from.

Invariant: only the *reference* has this right, and only with ``SIGNIFICANT_DIGITS`` significant
digits and at least one decimal: its author rounded on purpose. An answer that is rounded is held to
the stricter rule of :mod:`services.verifier.exact`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from services.verifier.arithmetic import Number, OutOfRange, approximate

SIGNIFICANT_DIGITS = 4

_DECIMAL = re.compile(r"(-?)(\d*)\.(\d+)")


def stands_for(reference: str, value: Number) -> bool:
    """Whether ``reference`` is a decimal and ``value`` rounds or truncates to it."""
    match = _DECIMAL.fullmatch(reference.replace(" ", ""))
    if match is None or len((match[2] + match[3]).lstrip("0")) < SIGNIFICANT_DIGITS:
        return False
    last_digit = Fraction(1, 10 ** len(match[3]))
    written = Fraction(match[0].rstrip("."))
    try:
        number = approximate(value)
    except OutOfRange:
        return False
    if isinstance(number, complex):
        return False
    difference = Fraction(number) - written
    truncated = difference * (-1 if match[1] else 1)
    return abs(difference) <= last_digit / 2 or 0 <= truncated < last_digit
