"""Which formulas may reach the symbolic parser at all.

Invariant: a cheap linear scan, run before any parser, refuses what could only be there to exhaust
one: huge texts, deep nesting, towers of powers, factorials and exponents of astronomic size. What
passes may still be slow, which is why it is judged in a process that can be killed.
"""

from __future__ import annotations

import re

MAXIMUM_CHARACTERS = 2_000
MAXIMUM_DEPTH = 40
MAXIMUM_POWERS_IN_A_ROW = 2
MAXIMUM_EXPONENT_DIGITS = 5
MAXIMUM_FACTORIAL_DIGITS = 4
MAXIMUM_DIGITS = 400
MAXIMUM_CELLS = 100

_BRACKET = re.compile(r"[{}()\[\]]")
_TOWER = re.compile(r"\^\s*[{(]?[^{}()^+\-]{0,40}" * MAXIMUM_POWERS_IN_A_ROW + r"\^")
_BIG_EXPONENT = re.compile(rf"\^\s*[{{(]?\s*-?\d{{{MAXIMUM_EXPONENT_DIGITS + 1}}}")
_BIG_FACTORIAL = re.compile(rf"\d{{{MAXIMUM_FACTORIAL_DIGITS + 1}}}\s*[)}}]?\s*!|!\s*[)}}]?\s*!")
_BIG_NUMBER = re.compile(rf"\d{{{MAXIMUM_DIGITS + 1}}}")
_REFUSALS = (
    (_TOWER, "a tower of powers"),
    (_BIG_EXPONENT, f"an exponent of more than {MAXIMUM_EXPONENT_DIGITS} digits"),
    (_BIG_FACTORIAL, "a factorial of a large number or of a factorial"),
    (_BIG_NUMBER, f"a number of more than {MAXIMUM_DIGITS} digits"),
)


def refusal(latex: str) -> str | None:
    """Why ``latex`` may not be parsed, or None if it may."""
    if len(latex) > MAXIMUM_CHARACTERS:
        return f"{len(latex)} characters; at most {MAXIMUM_CHARACTERS} are read as a formula"
    if _depth(latex) > MAXIMUM_DEPTH:
        return f"brackets nested more than {MAXIMUM_DEPTH} deep"
    if latex.count("&") + latex.count(r"\\") > MAXIMUM_CELLS:
        return f"a matrix of more than {MAXIMUM_CELLS} cells"
    for pattern, name in _REFUSALS:
        if pattern.search(latex):
            return name
    return None


def _depth(latex: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(latex):
        depth += 1 if bracket in "{([" else -1
        deepest = max(deepest, depth)
    return deepest
