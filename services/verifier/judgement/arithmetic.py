"""Arithmetic on numbers that stay exact as long as they can and never grow without bound.

Invariants:
- an operation on exact numbers (``Fraction``) gives an exact number or a float, never a wrong one;
- the size of an exact number is checked *before* it is computed, so no operation takes long;
- a number too small for a float is out of range, never 0;
- in real arithmetic what leaves the reals raises :class:`NotReal`; complex arithmetic takes the
  principal branch.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from fractions import Fraction
from typing import cast

Number = Fraction | float | complex

MAXIMUM_BITS = 20_000
"""Size of the largest exact numerator or denominator."""
MINIMUM_FLOAT = 1e-290
"""What is smaller has lost digits, or all of them."""
MAXIMUM_FACTORIAL = 1_500
MAXIMUM_BINOMIAL = 10_000


class OutOfRange(ArithmeticError):
    """The number is too large, or it is not a number (a division by zero)."""


class NotReal(ArithmeticError):
    """A part of the expression has no real value."""


def add(first: Number, second: Number) -> Number:
    """``first + second``. Raises OutOfRange."""
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        if _bits_of_sum(first, second) > MAXIMUM_BITS:
            raise OutOfRange("a sum of fractions too large to write")
        return first + second
    return _finite(_inexact(first) + _inexact(second))


def multiply(first: Number, second: Number) -> Number:
    """``first * second``. Raises OutOfRange."""
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        if bits(first) + bits(second) > MAXIMUM_BITS:
            raise OutOfRange("a product too large to write")
        return first * second
    return _not_underflown(_inexact(first) * _inexact(second), bool(first and second))


def divide(first: Number, second: Number) -> Number:
    """``first / second``. Raises OutOfRange for a division by zero."""
    if second == 0:
        raise OutOfRange("a division by zero")
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return multiply(first, 1 / second)
    return _not_underflown(_inexact(first) / _inexact(second), bool(first))


def power(base: Number, exponent: Number, real: bool) -> Number:
    """``base ** exponent``. Raises OutOfRange, or NotReal when ``real``."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        exact = _exact_power(base, exponent)
        if exact is not None:
            return exact
    if base == 0:
        return _power_of_zero(exponent)
    first, second = _inexact(base), _inexact(exponent)
    if isinstance(first, complex) or isinstance(second, complex):
        return _not_underflown(_calculated(lambda: complex(first) ** complex(second)))
    if first < 0 and second != int(second):
        if real:
            raise NotReal("a fractional power of a negative number")
        return _not_underflown(_calculated(lambda: complex(first) ** second))
    return _not_underflown(_calculated(lambda: first**second))


def factorial(number: Number) -> Number:
    """``number!``, by the gamma function where it is no natural number. Raises OutOfRange."""
    if isinstance(number, complex):
        raise OutOfRange("a factorial of a complex number")
    if isinstance(number, Fraction) and number.denominator == 1:
        if not 0 <= number <= MAXIMUM_FACTORIAL:
            raise OutOfRange("a factorial too large to write")
        return Fraction(math.factorial(int(number)))
    return _calculated(lambda: math.gamma(_real(number) + 1))


def binomial(total: Number, chosen: Number) -> Number:
    """Binomial coefficient. Raises OutOfRange."""
    both = (total, chosen)
    if all(isinstance(one, Fraction) and one.denominator == 1 and one >= 0 for one in both):
        if _real(total) > MAXIMUM_BINOMIAL:
            raise OutOfRange("a binomial coefficient too large to write")
        return Fraction(math.comb(int(_real(total)), int(_real(chosen))))
    ways = multiply(factorial(chosen), factorial(add(total, multiply(Fraction(-1), chosen))))
    return divide(factorial(total), ways)


def apply(function: Callable[[complex], complex], argument: Number, real: bool) -> Number:
    """A function of :mod:`cmath`; real where its value is. Raises OutOfRange or NotReal."""
    value = complex(_calculated(lambda: function(complex(_inexact(argument)))))
    if value == 0 and function is cmath.exp:
        raise OutOfRange("a number too small for a float")
    if isinstance(argument, complex):
        return value
    if abs(value.imag) > 1e-12 * abs(value):
        if real:
            raise NotReal("a function outside its real domain")
        return value
    return value.real


def magnitude(number: Number) -> Number:
    """Absolute value."""
    return cast(Number, abs(number))


def rounded(number: Number, towards: Callable[[Fraction | float], int]) -> Number:
    """``math.floor`` or ``math.ceil``. Raises OutOfRange for a complex number."""
    return Fraction(towards(_real(number)))


def bits(number: Fraction) -> int:
    """Size of an exact number."""
    return max(number.numerator.bit_length(), number.denominator.bit_length())


def _bits_of_sum(first: Fraction, second: Fraction) -> int:
    """Bound on the size of ``first + second`` before it is reduced."""
    below = first.denominator.bit_length() + second.denominator.bit_length()
    above = max(
        first.numerator.bit_length() + second.denominator.bit_length(),
        second.numerator.bit_length() + first.denominator.bit_length(),
    )
    return max(above, below if min(first.denominator, second.denominator) > 1 else 0)


def approximate(number: Number) -> float | complex:
    """As a float or complex number. Raises OutOfRange."""
    return _inexact(number)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The exact power, or None when it is irrational. Raises OutOfRange."""
    if exponent.denominator == 2:
        root = _square_root(base)
        if root is None:
            return None
        base, exponent = root, exponent * 2
    if exponent.denominator != 1:
        return None
    if base == 0:
        return Fraction(_power_of_zero(exponent))
    if base in (1, -1):
        return base if exponent % 2 else Fraction(1)
    if bits(base) * abs(exponent) > MAXIMUM_BITS:
        raise OutOfRange("a power too large to write")
    return Fraction(base ** int(exponent))


def _power_of_zero(exponent: Number) -> Fraction:
    if isinstance(exponent, complex) or exponent < 0:
        raise OutOfRange("a division by zero")
    return Fraction(0 if exponent else 1)


def _square_root(number: Fraction) -> Fraction | None:
    """The rational square root of ``number``, or None."""
    if number < 0:
        return None
    top, bottom = math.isqrt(number.numerator), math.isqrt(number.denominator)
    exact = top * top == number.numerator and bottom * bottom == number.denominator
    return Fraction(top, bottom) if exact else None


def _calculated(calculation: Callable[[], float | complex]) -> float | complex:
    try:
        return _finite(calculation())
    except (OverflowError, ValueError, ZeroDivisionError) as error:
        raise OutOfRange(str(error)) from None


def _finite(number: float | complex) -> float | complex:
    if not cmath.isfinite(number):
        raise OutOfRange("not a finite number")
    return number


def _not_underflown(number: float | complex, nonzero: bool = True) -> float | complex:
    """``number``, which is not 0 by nature if ``nonzero``. Raises OutOfRange where it is tiny."""
    if nonzero and abs(number) < MINIMUM_FLOAT:
        raise OutOfRange("a number too small for a float")
    return _finite(number)


def _inexact(number: Number) -> float | complex:
    if isinstance(number, complex):
        return number
    try:
        value = float(number)
    except OverflowError:
        raise OutOfRange("a number too large for a float") from None
    if number and abs(value) < MINIMUM_FLOAT:
        raise OutOfRange("a number too small for a float")
    return value


def _real(number: Number) -> Fraction | float:
    if isinstance(number, complex):
        raise OutOfRange("a real number is needed")
    return number
