r"""All real numbers but a few, in three ways of writing.

``x \ne -2, 2``, ``\mathbb{R} \setminus \{-2, 2\}`` and
``(-\infty,-2) \cup (-2,2) \cup (2,\infty)`` are the same set.

Invariant: only finitely many constants are left out; anything else is not read here.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from services.verifier.judgement.formula_values import constant
from services.verifier.judgement.outer_form import Kind, Structure, split, take_apart

_NOT_EQUAL = re.compile(r"(?:\\?[a-zA-Z]+)\s?\\neq?(?![a-zA-Z])\s?(.+)", re.DOTALL)
_AGAIN = re.compile(r"(?:\\?[a-zA-Z]+)\s?\\neq?(?![a-zA-Z])\s?")
_WITHOUT = re.compile(
    r"(?:[a-zA-Z]\s?\\in\s?)?\\mathbb\s?\{?R\}?\s?(?:\\setminus|\\backslash|-)\s?\\\{(.+)\\\}", re.DOTALL
)


def as_union(structure: Structure) -> Structure:
    """The union of intervals that such a set is; any other structure unchanged."""
    match = _NOT_EQUAL.fullmatch(structure.text) or _WITHOUT.fullmatch(structure.text)
    points = _points(match[1]) if match else []
    if not points:
        return structure
    ends = [r"-\infty", *points, r"\infty"]
    parts = (f"({low},{high})" for low, high in pairwise(ends))
    return Structure(Kind.UNION, structure.text, tuple(take_apart(part, 1) for part in parts))


def _points(text: str) -> list[str]:
    """The constants of a list in rising order; none if one of them is no real constant."""
    points: dict[str, float] = {}
    for point in filter(None, split(text, ",;")):
        name = _AGAIN.sub("", point)
        value = constant(name)
        if not isinstance(value, Fraction | float):
            return []
        try:
            points[name] = float(value)
        except OverflowError:
            return []
    return sorted(points, key=lambda name: points[name])
