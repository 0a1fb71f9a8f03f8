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
_POWER_OR_BRACE = re.compile(r"\^\s*\{?|\{|\}")
_CHAIN = re.compile(r"(?:\^\s*\w\s*){3}")
_SIGNS = re.compile(r"(?:[-+]\s*){10}")
_BIG_EXPONENT = re.compile(rf"\^\s*[{{(]?\s*-?\d{{{MAXIMUM_EXPONENT_DIGITS + 1}}}")
_BIG_FACTORIAL = re.compile(rf"\d{{{MAXIMUM_FACTORIAL_DIGITS + 1}}}\s*[)}}]?\s*!|!\s*[)}}]?\s*!")
_BIG_BINOMIAL = re.compile(r"\\[dt]?binom\s*\{?\s*\d{6}")
_BIG_RANGE = re.compile(r"\\(?:sum|prod)(?![a-zA-Z])[^=]{0,40}=[^=]{0,40}\^\s*\{?\s*\d{4}")
_BIG_NUMBER = re.compile(rf"\d{{{MAXIMUM_DIGITS + 1}}}")
_REFUSALS = (
    (_CHAIN, "a tower of powers"),
    (_SIGNS, "a run of signs"),
    (_BIG_EXPONENT, f"an exponent of more than {MAXIMUM_EXPONENT_DIGITS} digits"),
    (_BIG_FACTORIAL, "a factorial of a large number or of a factorial"),
    (_BIG_BINOMIAL, "a binomial coefficient of a large number"),
    (_BIG_RANGE, "a sum or product of a thousand terms or more"),
    (_BIG_NUMBER, f"a number of more than {MAXIMUM_DIGITS} digits"),
)


def refusal(latex: str) -> str | None:
    """Why ``latex`` may not be parsed, or None if it may."""
    if len(latex) > MAXIMUM_CHARACTERS:
        return f"{len(latex)} characters; at most {MAXIMUM_CHARACTERS} are read as a formula"
    if _depth(latex) > MAXIMUM_DEPTH:
        return f"brackets nested more than {MAXIMUM_DEPTH} deep"
    if _power_depth(latex) > MAXIMUM_POWERS_IN_A_ROW:
        return "a tower of powers"
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


def _power_depth(latex: str) -> int:
    """How many exponents lie inside each other; a power of a power counts in any brackets."""
    inside: list[bool] = []
    deepest = 0
    for match in _POWER_OR_BRACE.finditer(latex):
        if match[0] == "}":
            inside = inside[:-1]
            continue
        if match[0] == "{":
            inside.append(False)
            continue
        deepest = max(deepest, sum(inside) + 1)
        if match[0].endswith("{"):
            inside.append(True)
    return deepest
