"""Values of formulas, and whether two formulas agree in value.

Invariants:
- two constants are the same when both are exact and equal, or when they agree to
  ``SAME_RELATIVE`` and no sum in them has a part smaller than that; they are different when they
  differ by more than ``DIFFERENT_RELATIVE``; between the two nothing is decided;
- formulas with variables are the same when they agree at all of at least ``NEEDED_POINTS`` fixed
  points (Schwartz 1980, Zippel 1979: two different polynomials agree at a random point with
  probability near 0), and different when both have variables and agree at none; ``R`` and ``r``
  are two variables. Points
  where a part has no real value are left out, unless ``i`` occurs;
- the points are fixed, so the answer never changes from one run to the next.
"""

from __future__ import annotations

import cmath
import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache

from services.verifier.judgement import arithmetic
from services.verifier.judgement.arithmetic import NotReal, Number, OutOfRange
from services.verifier.judgement.customary_names import with_customary_values
from services.verifier.judgement.formula import Node, Unsupported, has_imaginary_unit, has_steps, has_sum, names, read

SAME_RELATIVE = 1e-10
DIFFERENT_RELATIVE = 1e-7
EXACT_FLOAT = 1e12
"""Floats beyond this are too coarse to tell one number from the next."""
POINTS = 8
NEEDED_POINTS = 3
WIDE_POINTS, WIDEST = 24, 400.0
"""For formulas with steps."""
MAXIMUM_NAMES = 12
LETTERS_OF_UNITS = frozenset("mkcgshlLNJWVA")
"""``7 m`` may be seven metres and ``7 km^2`` an area; ``7 x`` and ``7 d`` are products."""
CACHED_FORMULAS = 16_384

_BASE_OF_LOG = "base of log"
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "ln": cmath.log,
    "lg": cmath.log10,
    "exp": cmath.exp,
    "cot": lambda z: 1 / cmath.tan(z),
    "sec": lambda z: 1 / cmath.cos(z),
    "csc": lambda z: 1 / cmath.sin(z),
}
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "i": 1j}


def same_value(reference: str, answer: str) -> bool | None:
    """Whether two formulas agree in value; None when that cannot be decided here."""
    first, second = _read(reference), _read(answer)
    if first is None or second is None:
        return None
    variables = names(first) | names(second)
    if len(variables) > MAXIMUM_NAMES:
        return None
    if not variables:
        return _same_constant(first, second)
    if not (names(first) and names(second)) and _same_customary(first, second):
        return True
    agree = _agree(first, second, variables)
    return None if agree is False and not _comparable(first, second) else agree


def _same_customary(first: Node, second: Node) -> bool | None:
    """Whether a constant and a formula in names such as ``\\omega`` alone are the same number."""
    one, other = with_customary_values(first), with_customary_values(second)
    return None if one is None or other is None else _same_constant(one, other)


def same_equation(reference: tuple[str, str], answer: tuple[str, str]) -> bool | None:
    """Whether two equations ``left = right`` are multiples of each other, else None."""
    sides = [_read(side) for side in (*reference, *answer)]
    if any(side is None for side in sides):
        return None
    left, right, other_left, other_right = (side for side in sides if side is not None)
    first: Node = ("add", left, ("negative", right))
    second: Node = ("add", other_left, ("negative", other_right))
    variables = names(first)
    if not variables or variables != names(second) or len(variables) > MAXIMUM_NAMES:
        return None
    complex_valued = has_imaginary_unit(first) or has_imaginary_unit(second)
    ratios = [
        values[0] / values[1]
        for point in _points(tuple(sorted(variables)))
        if (values := _values(first, second, point, not complex_valued)) and values[1]
    ]
    same = all(cmath.isclose(ratio, ratios[0], rel_tol=1e-8) for ratio in ratios)
    return True if len(ratios) > NEEDED_POINTS and same and ratios[0] else None


def difference_at(left: str, right: str, value: float) -> complex | None:
    """``left - right`` with their one variable at ``value``; None where that cannot be said."""
    first, second = _read(left), _read(right)
    if first is None or second is None or len(names(first) | names(second)) != 1:
        return None
    point = dict.fromkeys(names(first) | names(second), value)
    values = _values(first, second, point, real=True)
    return None if values is None else values[0] - values[1]


def beyond_range(formula: str) -> bool:
    """Whether ``formula`` is a constant too large to write, such as a tower of powers."""
    node = _read(formula)
    if node is None or names(node):
        return False
    try:
        evaluate(node, {}, real=False)
    except OutOfRange:
        return True
    except (Unsupported, NotReal):
        return False
    return False


def constant(formula: str) -> Number | None:
    """The value of a formula without variables, or None."""
    node = _read(formula)
    return None if node is None or names(node) else _constant(node)


def is_formula(text: str) -> bool:
    """Whether ``text`` can be read here."""
    return _read(text) is not None


def has_variables(text: str) -> bool:
    """Whether ``text`` can be read here and holds a variable."""
    node = _read(text)
    return node is not None and bool(names(node))


def evaluate(node: Node, point: Mapping[str, Number], real: bool) -> Number:
    """The value of ``node`` with the variables at ``point``.

    Raises:
        OutOfRange, NotReal: see :mod:`services.verifier.judgement.arithmetic`.
        Unsupported: infinity.
    """
    operation = node[0]
    if operation == "number":
        return node[1]  # type: ignore[return-value]
    if operation == "name":
        return point[str(node[1])]
    if operation == "constant":
        if node[1] == "infty":
            raise Unsupported("infinity")
        return _CONSTANTS[str(node[1])]
    return _operate(str(operation), [evaluate(part, point, real) for part in _parts(node)], real)


def _parts(node: Node) -> list[Node]:
    return [part for part in node[1:] if isinstance(part, tuple)]


def _operate(operation: str, values: list[Number], real: bool) -> Number:
    simple = _OPERATIONS.get(operation)
    if simple is not None:
        return simple(*values)
    if operation == "power":
        return arithmetic.power(values[0], values[1], real)
    if operation == "log":
        return _logarithm(values, real)
    if operation in _FUNCTIONS:
        return arithmetic.apply(_FUNCTIONS[operation], values[0], real)
    raise Unsupported(operation)


def _logarithm(values: list[Number], real: bool) -> Number:
    """Of the first value to the base of the second."""
    return arithmetic.divide(*(arithmetic.apply(cmath.log, value, real) for value in values))


_OPERATIONS: dict[str, Callable[..., Number]] = {
    "add": arithmetic.add,
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "negative": lambda value: arithmetic.multiply(Fraction(-1), value),
    "factorial": arithmetic.factorial,
    "binomial": arithmetic.binomial,
    "magnitude": arithmetic.magnitude,
    "lfloor": lambda value: arithmetic.rounded(value, math.floor),
    "lceil": lambda value: arithmetic.rounded(value, math.ceil),
}


@lru_cache(maxsize=CACHED_FORMULAS)
def _read(formula: str) -> Node | None:
    try:
        return read(formula)
    except (Unsupported, RecursionError):
        return None


@lru_cache(maxsize=CACHED_FORMULAS)
def _constant(node: Node) -> Number | None:
    for real in (True, False):
        try:
            return evaluate(node, {}, real)
        except NotReal:
            continue
        except (OutOfRange, Unsupported):
            return None
    return None


def _same_constant(first: Node, second: Node) -> bool | None:
    first_value, second_value = _constant(first), _constant(second)
    if first_value is None or second_value is None:
        return None
    if isinstance(first_value, Fraction) and isinstance(second_value, Fraction):
        return first_value == second_value
    try:
        one, other = arithmetic.approximate(first_value), arithmetic.approximate(second_value)
    except OutOfRange:
        return None
    scale, difference = max(abs(one), abs(other)), abs(one - other)
    if difference <= SAME_RELATIVE * scale:
        vague = scale >= EXACT_FLOAT or _swallows(first) or _swallows(second)
        return None if vague else True
    return False if difference > DIFFERENT_RELATIVE * max(scale, 1e-3) else None


def _swallows(node: Node) -> bool:
    """Whether a sum in ``node`` may lose its smaller part as floats: ``1 - e^{-40}``."""
    parts = _parts(node)
    if node[0] == "add":
        sizes = sorted(size for part in parts if (size := _size(part)) is not None)
        if len(sizes) == 2 and 0 < sizes[0] < SAME_RELATIVE * sizes[1]:
            return True
    return any(map(_swallows, parts))


def _size(node: Node) -> float | None:
    value = _constant(node)
    try:
        return None if value is None else abs(arithmetic.approximate(value))
    except OutOfRange:
        return None


def _comparable(first: Node, second: Node) -> bool:
    """Whether formulas that differ in value cannot mean the same in another notation."""
    one, other = names(first), names(second)
    if _BASE_OF_LOG in one | other:
        return False
    if one and other:
        return True
    number, formula = (first, second) if other else (second, first)
    return has_sum(formula) or not _may_be_unit(number, formula)


def _may_be_unit(number: Node, formula: Node) -> bool:
    """Whether the letters of ``formula`` may be units: without them it is ``number``."""
    if not names(formula) <= LETTERS_OF_UNITS:
        return False
    ones = dict.fromkeys(names(formula), Fraction(1))
    values = _values(number, formula, ones, real=False)
    return values is None or cmath.isclose(values[0], values[1], rel_tol=1e-6)


def _agree(first: Node, second: Node, variables: frozenset[str]) -> bool | None:
    """Whether both agree at the points; None when too few points are in their domain."""
    real = not (has_imaginary_unit(first) or has_imaginary_unit(second))
    agreed, differed = 0, 0
    points = _wide_points if has_steps(first) or has_steps(second) else _points
    one, other = _folded(first, real), _folded(second, real)
    if one is None or other is None:
        return None
    for point in points(tuple(sorted(variables))):
        values = _values(one, other, point, real)
        if values is None:
            continue
        same = abs(values[0] - values[1]) <= 1e-9 * max(abs(values[0]), abs(values[1]))
        agreed, differed = agreed + same, differed + (not same)
    if differed:
        return False if not agreed and differed >= NEEDED_POINTS else None
    return True if agreed >= NEEDED_POINTS else None


def _folded(node: Node, real: bool) -> Node | None:
    """``node`` with every part without variables worked out once; None where one has no value."""
    try:
        return _worked_out(node, real)
    except (OutOfRange, NotReal, Unsupported):
        return None


def _worked_out(node: Node, real: bool) -> Node:
    if node[0] in ("name", "number"):
        return node
    parts = [_worked_out(part, real) for part in _parts(node)]
    whole: Node = (node[0], *parts) if parts else node
    if all(part[0] == "number" for part in parts):
        return ("number", evaluate(whole, {}, real))  # type: ignore[return-value]
    return whole


def _values(first: Node, second: Node, point: Mapping[str, Number], real: bool) -> tuple[complex, complex] | None:
    try:
        values = (evaluate(node, point, real) for node in (first, second))
        one, other = (complex(arithmetic.approximate(value)) for value in values)
    except (OutOfRange, NotReal, Unsupported):
        return None
    return one, other


@lru_cache(maxsize=1024)
def _points(variables: tuple[str, ...]) -> tuple[Mapping[str, float], ...]:
    """The first points are positive, the others of either sign."""
    generator = random.Random(20250408)
    points = []
    for number in range(POINTS):
        low = 0.3 if number < POINTS // 2 else -2.5
        points.append({name: generator.uniform(low, 2.5) for name in variables})
    return tuple(points)


@lru_cache(maxsize=1024)
def _wide_points(variables: tuple[str, ...]) -> tuple[Mapping[str, float], ...]:
    """More and far apart: two step functions are the same near 0 too easily."""
    generator = random.Random(20250409)
    return tuple({name: generator.uniform(1, WIDEST) for name in variables} for _ in range(WIDE_POINTS))
