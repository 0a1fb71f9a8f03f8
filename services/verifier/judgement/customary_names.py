r"""Names that stand for one number wherever an author leaves them undefined.

``\omega`` is the cube root of unity in the upper half plane, ``\phi`` and ``\varphi`` are the
golden ratio, ``F_n`` is the n-th Fibonacci number (n of two or three digits: ``F_1`` is as often a
label).

Invariant: a name is given its customary value only where the other side of a comparison is a
constant, so that it could not be a variable of the problem.
"""

from __future__ import annotations

import re
from fractions import Fraction

from services.verifier.judgement.formula import Node, read

_VALUES: dict[str, Node] = {
    "omega": read(r"\frac{-1+i\sqrt{3}}{2}"),
    "phi": read(r"\frac{1+\sqrt{5}}{2}"),
    "varphi": read(r"\frac{1+\sqrt{5}}{2}"),
}
_FIBONACCI = re.compile(r"F_([1-9][0-9]{1,2})")


def with_customary_values(node: Node) -> Node | None:
    """``node`` as a constant, or None when it holds a name without a customary value."""
    if node[0] == "name":
        return _value(str(node[1]))
    parts = [with_customary_values(part) if isinstance(part, tuple) else part for part in node[1:]]
    if any(part is None for part in parts):
        return None
    return (node[0], *(part for part in parts if part is not None))


def _value(name: str) -> Node | None:
    number = _FIBONACCI.fullmatch(name)
    return ("number", Fraction(_fibonacci(int(number[1])))) if number else _VALUES.get(name)


def _fibonacci(index: int) -> int:
    before, number = 0, 1
    for _ in range(index - 1):
        before, number = number, before + number
    return number
