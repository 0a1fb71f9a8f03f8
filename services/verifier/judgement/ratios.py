r"""Ratios of several parts: ``1:2:3`` is ``2:4:6`` and not ``1:3:2``.

Invariant: decided only where every part is a constant; a ratio of two parts is a quotient and read
as one.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from services.verifier.judgement.formula_values import constant, same_value
from services.verifier.judgement.outer_form import split

FEWEST_PARTS = 3


def same_ratio(reference: str, answer: str) -> bool | None:
    """Whether two ratios are the same; None where neither is one of three or more constants."""
    if ":" not in reference and ":" not in answer:
        return None
    first, second = split(reference, ":"), split(answer, ":")
    if max(len(first), len(second)) < FEWEST_PARTS:
        return None
    if len(first) != len(second):
        return False
    if any(constant(part) in (None, Fraction(0)) for part in (*first, *second)):
        return [*map(_compact, first)] == [*map(_compact, second)]
    quotients = [f"({one})/({other})" for one, other in zip(first, second, strict=True)]
    return all(same_value(one, other) is True for one, other in pairwise(quotients))


def _compact(part: str) -> str:
    return part.replace(" ", "")
