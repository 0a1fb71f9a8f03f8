r"""Whole answers that are said in words or in signs.

Invariant: a phrase is translated only when it is all of the answer.
"""

from __future__ import annotations

import re

_EMPTY = r"\emptyset"
_REALS = r"\mathbb{R}"
_ABSENT = "does not exist"
_PHRASES = {
    _EMPTY: """
        no solution|no solutions|no real solution|no real solutions|there is no solution
        there are no solutions|empty set|the empty set|{}
    """,
    _REALS: """
        all reals|all real numbers|all real number|all real x|all real values|the real numbers
        all real values of x|real numbers|the set of all real numbers|all real numbers x
        x is any real number|any real number
    """,
    _ABSENT: """
        dne|the limit does not exist|limit does not exist
    """,
    r"\infty": """
        infinity|positive infinity|+infinity
    """,
    r"-\infty": """
        negative infinity|-infinity|minus infinity
    """,
}
_MEANINGS = {
    "".join(phrase.split()): meaning
    for meaning, lines in _PHRASES.items()
    for line in lines.strip().splitlines()
    for phrase in line.strip().split("|")
}
_LONGEST_TEXT = 80
_SIGNS = re.compile(r"\\[{}]")


def in_signs(text: str) -> str:
    r"""``no solution`` and ``\{\}`` as ``\emptyset``, ``all real numbers`` as ``\mathbb{R}``."""
    if len(text) > _LONGEST_TEXT or text.isdigit():
        return text
    key = "".join(_SIGNS.sub(lambda sign: sign[0][1], text).lower().split())
    return _MEANINGS.get(key, text)
