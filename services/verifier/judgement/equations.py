r"""What an equation says: which name gets which value.

Rules:
- ``x = 5``, ``5 = x``, ``x = 2 + 3 = 5`` and ``\text{Area} = 5`` assign 5;
- of ``\frac13 \approx 0.33`` (also written with ``=``) the side that is no decimal counts;
- of a chain of constants the last counts, whatever came before;
- ``f(n) = n + 1`` is ``f(x) = x + 1``: the name of an argument is free.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from services.verifier.judgement.arithmetic import OutOfRange, approximate
from services.verifier.judgement.counted_words import CHANGING_WORDS
from services.verifier.judgement.formula_values import constant, same_value
from services.verifier.judgement.outer_form import Kind, Structure, is_name
from services.verifier.judgement.rounding import is_rounded

ROUGHLY = 0.05
"""Relative difference up to which ``a \\approx b`` is believed."""
UNNAMED = Structure(Kind.VALUE, "")
FUNCTION_NAMES = frozenset({"y", "f(x)", "g(x)", "h(x)"})
_DECIMAL = re.compile(r"-?\d*\.\d+")
_NAMED_LEFT = re.compile(r"[a-zA-Z\\_{}()|,:'\s]*[a-zA-Z][a-zA-Z0-9\\_{}()|,:'\s]*")
_NAMED_INVERSE = re.compile(r"[A-Zfgh]\s?\^\s?(?:T|\\top|\*|\{\s?(?:-1|T|\\top|\*)\s?\})\s?(?:\(\s?[a-z]\s?\))?")
"""An inverse function or matrix, or a transpose."""
_NAME_WORDS = re.compile(r"[a-z]{3,}")
_FUNCTION = re.compile(r"([a-zA-Z])\s?\(\s?([a-zA-Z])\s?\)|([a-zA-Z])_\s?\{?([a-zA-Z])\}?")


def assigned(equation: Structure) -> tuple[Structure, Structure] | None:
    r"""(name, value) of ``x = 5``, ``5 = x``, ``x = 2 + 3 = 5`` or ``\frac13 \approx 0.33``."""
    first, last = equation.items[0], equation.items[-1]
    named = _NAMED_LEFT.fullmatch(first.text) or _NAMED_INVERSE.fullmatch(first.text)
    if named and constant(first.text) is None:
        return first, equation.items[1] if not equation.exact else last
    if len(equation.items) > 2 and equation.exact:
        return UNNAMED, last
    if len(equation.items) == 2 and equation.exact and is_name(last.text):
        return last, first
    if len(equation.items) == 2 and (not equation.exact or _is_rounding(equation.items)):
        rounded = _DECIMAL.fullmatch(first.text) and not _DECIMAL.fullmatch(last.text)
        return UNNAMED, last if rounded else first
    if constant(first.text) is not None and constant(last.text) is not None:
        return UNNAMED, last
    return None


def denies(structure: Structure) -> bool:
    r"""Whether an equation is of a value that it denies: ``\text{wrong answer} = 7``."""
    named = structure.kind is Kind.EQUATION and structure.items[0].text
    return bool(named) and not CHANGING_WORDS.isdisjoint(_NAME_WORDS.findall(str(named).lower()))


def contradicts(structure: Structure) -> bool:
    """Whether an equation of constants is plainly false: ``8 = 7``, ``1 = 2 = 7``."""
    sides = [side.text for side in structure.items] if structure.kind is Kind.EQUATION else []
    if any(constant(side) is None for side in sides):
        return False
    return any(not _nearly(one, other, structure.exact) for one, other in pairwise(sides))


def _nearly(one: str, other: str, exact: bool) -> bool:
    """Whether two constants are the same, or one is rounded from the other."""
    if _rounds(one, other) or same_value(one, other) is not False:
        return True
    return not exact and _within(ROUGHLY, one, other)


def _within(share: float, one: str, other: str) -> bool:
    """Whether two constants differ by no more than ``share`` of the larger one."""
    try:
        values = [approximate(value) for value in (constant(one), constant(other)) if value]
    except OutOfRange:
        return False
    return len(values) == 2 and abs(values[0] - values[1]) <= share * max(map(abs, values))


def with_argument(named: tuple[str, Structure], other: str) -> str | None:
    """The value of ``named`` = (``f(n)``, n + 1) with the argument of ``other`` = ``f(x)``.

    None where the two are not the same function of one argument.
    """
    first, second = _FUNCTION.fullmatch(named[0]), _FUNCTION.fullmatch(other)
    if first is None or second is None or (first[1] or first[3]) != (second[1] or second[3]):
        return None
    old, new = first[2] or first[4], second[2] or second[4]
    if re.search(rf"(?<![a-zA-Z\\]){new}(?![a-zA-Z])", named[1].text):
        return None
    return re.sub(rf"(?<![a-zA-Z\\]){old}(?![a-zA-Z])", new, named[1].text)


def _is_rounding(sides: Sequence[Structure]) -> bool:
    one, other = (side.text for side in sides)
    return bool(_DECIMAL.fullmatch(one)) != bool(_DECIMAL.fullmatch(other)) and _rounds(one, other)


def _rounds(one: str, other: str) -> bool:
    """Whether one of two constants is a decimal and the other rounds to it."""
    for decimal, text in ((one, other), (other, one)):
        value = constant(text)
        if value is not None and _DECIMAL.fullmatch(decimal) and is_rounded(decimal, value):
            return True
    return False
