r"""Numbers written out in digits, read and compared exactly.

Invariants:
- nothing is ever evaluated: a number is digits, one fraction bar, one power of ten of at
  most three digits; the length is limited, so the work is bounded;
- integers and fractions are compared exactly. A decimal written with at least
  ``SIGNIFICANT_DIGITS`` significant digits also stands for any number less than one unit of its
  last digit away (0.333333 for 1/3, never 0.33); against a number that ends at the same digit or
  earlier this is still exact equality;
- a percentage means its hundredth; if only one side shows the sign, its face value will do too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from services.verifier.judgement.counted_words import is_counted, is_unit

SIGNIFICANT_DIGITS = 6
MAXIMUM_CHARACTERS = 200

_DIGITS = r"(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?: \d{3})+|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s?(?:"
    rf"(?P<whole>\d+)?\s?\\frac\{{\s?(?P<top>-?{_DECIMAL})\s?\}}\{{\s?(?P<bottom>-?{_DECIMAL})\s?\}}"
    rf"|(?P<mixed>\d+)\s(?P<mixed_top>\d+)\s?/\s?(?P<mixed_bottom>\d+)"
    rf"|\(?(?P<over>{_DECIMAL})\)?\s?/\s?\(?(?P<under>{_DECIMAL})\)?"
    rf"|(?P<decimal>{_DECIMAL})(?:\s?(?:\\times|\\cdot|\*|x)\s?10\^(?P<power>\{{\s?[-+]?\d{{1,3}}\s?\}}|[-+]?\d{{1,3}})"
    rf"|[eE](?P<e>[-+]?\d{{1,3}}))?"
    rf")\s?(?P<unit>%|[a-zA-Z]{{2,}}[a-zA-Z. ]*)?"
)
_DECIMAL_COMMA = re.compile(r"([-+]?(?:[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)),([0-9]+)")
_GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:(?:\.[0-9]{3}){2,}|(?:_[0-9]{3})+)")
_PERCENT = frozenset({"%", "percent", "percentage", "pct", "per cent"})


@dataclass(frozen=True, slots=True)
class ExactNumber:
    """A rational number and how it was written."""

    value: Fraction
    last_digit: Fraction
    """What one unit of the last digit is worth when written as a long decimal, else 0."""
    percent: bool = False


def read_number(text: str) -> ExactNumber | None:
    r"""The number that all of ``text`` is, or None.

    Args:
        text: a cleaned answer: ``-1,234.5``, ``\frac{1}{2}``, ``1 1/2``, ``3/4``, ``1.5\times
        10^{3}``,
            ``2e-5``, each optionally followed by ``%`` or the name of a unit.
    """
    if len(text) > MAXIMUM_CHARACTERS or not text.isascii():
        return None
    match = _NUMBER.fullmatch(text)
    if match is None or not _understood(match):
        return None
    try:
        value, last_digit = _value(match)
    except ZeroDivisionError:
        return None
    percent = (match["unit"] or "").strip().lower() in _PERCENT
    scale = Fraction(1, 100) if percent else Fraction(1)
    sign = -1 if match["sign"] == "-" else 1
    return ExactNumber(sign * value * scale, last_digit * scale, percent)


def read_regional(text: str) -> ExactNumber | None:
    """The number that ``text`` is in another country's writing, else None.

    A decimal comma (``1,22``, ``1.234,5``), or :func:`read_grouped`. The first may as well be a
    list of two numbers, so this reading may only speak for an answer, as it was written.
    """
    if len(text) > MAXIMUM_CHARACTERS:
        return None
    match = _DECIMAL_COMMA.fullmatch(text)
    return read_number(f"{match[1].replace('.', '')}.{match[2]}") if match else read_grouped(text)


def read_grouped(text: str) -> ExactNumber | None:
    """The number of ``1.234.567``, ``1_000`` or ``1.234,5``, which can be no list; else None."""
    if len(text) > MAXIMUM_CHARACTERS:
        return None
    if _GROUPED.fullmatch(text):
        return read_number(text.replace(".", "").replace("_", ""))
    both = _DECIMAL_COMMA.fullmatch(text) if "." in text else None
    return read_number(f"{both[1].replace('.', '')}.{both[2]}") if both else None


def same_number(reference: ExactNumber, answer: ExactNumber) -> bool:
    """Whether both stand for the same number under the rules of this module."""
    if _close(reference, answer):
        return True
    if reference.percent == answer.percent:
        return False
    return _close(_face(reference), _face(answer))


def _understood(number: re.Match[str]) -> bool:
    unit = number["unit"]
    if unit is None or unit == "%" or is_unit(unit):
        return True
    return number.string[number.start("unit") - 1] == " " and is_counted(unit)


def _close(first: ExactNumber, second: ExactNumber) -> bool:
    difference = abs(first.value - second.value)
    return difference == 0 or difference < max(first.last_digit, second.last_digit)


def _face(number: ExactNumber) -> ExactNumber:
    scale = 100 if number.percent else 1
    return ExactNumber(number.value * scale, number.last_digit * scale)


def _value(match: re.Match[str]) -> tuple[Fraction, Fraction]:
    """Unsigned value and worth of the last digit."""
    if match["decimal"] is not None:
        return _decimal(match)
    if match["top"] is not None:
        fraction = _plain(match["top"]) / _plain(match["bottom"])
        return Fraction(match["whole"] or 0) + fraction, Fraction(0)
    if match["mixed"] is not None:
        fraction = Fraction(int(match["mixed_top"]), int(match["mixed_bottom"]))
        return int(match["mixed"]) + fraction, Fraction(0)
    return _plain(match["over"]) / _plain(match["under"]), Fraction(0)


def _decimal(match: re.Match[str]) -> tuple[Fraction, Fraction]:
    digits = match["decimal"].replace(",", "").replace(" ", "")
    power = int((match["power"] or match["e"] or "0").strip("{} "))
    scale = Fraction(10) ** power
    whole, _, decimals = digits.partition(".")
    significant = len((whole + decimals).lstrip("0"))
    long = bool(decimals) and significant >= SIGNIFICANT_DIGITS
    last_digit = scale / 10 ** len(decimals) if long else Fraction(0)
    return _plain(digits) * scale, last_digit


def _plain(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").replace(" ", "").rstrip("."))
