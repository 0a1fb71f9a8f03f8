"""Decimals that stand for a number they are rounded from.

Invariant: only the *reference* has this right, and only with ``SIGNIFICANT_DIGITS`` significant
digits and at least one decimal: its author rounded on purpose. An answer that is rounded is held to
the stricter rule of :mod:`services.verifier.judgement.written_numbers`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from services.verifier.judgement.arithmetic import Number, OutOfRange, approximate

SIGNIFICANT_DIGITS = 4

_DECIMAL = re.compile(r"(-?)(\d*)\.(\d+)")


def stands_for(reference: str, value: Number) -> bool:
    """Whether ``reference`` is a long decimal and ``value`` rounds or truncates to it."""
    match = _DECIMAL.fullmatch(reference.replace(" ", ""))
    if match is None or len((match[2] + match[3]).lstrip("0")) < SIGNIFICANT_DIGITS:
        return False
    return is_rounded(match[0], value)


def is_rounded(decimal: str, value: Number) -> bool:
    """Whether ``value`` rounds or truncates to ``decimal``, however short that is."""
    last_digit = Fraction(1, 10 ** len(decimal.partition(".")[2]))
    written = Fraction(decimal)
    try:
        number = value if isinstance(value, Fraction) else approximate(value)
    except OutOfRange:
        return False
    if isinstance(number, complex):
        return False
    difference = Fraction(number) - written  # a float would miss the end of the range
    truncated = difference * (-1 if decimal.startswith("-") else 1)
    return abs(difference) <= last_digit / 2 or 0 <= truncated < last_digit
