r"""Symbolic equality of two formulas, by math-verify and latex2sympy2-extended.

Invariants:
- runs only in a worker process with a time and a memory limit: sympy may loop or allocate without
  bound on short input;
- text reaches sympy only through the LaTeX grammar of latex2sympy2-extended (ANTLR), which knows
  mathematics and nothing else; sympy's own string parser, which calls ``eval``, is never used;
- importing this module imports sympy (most of a second), so the service process never does.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

import math_verify
from latex2sympy2_extended import NormalizationConfig, latex2sympy, normalize_latex
from math_verify import LatexExtractionConfig, verify
from math_verify.grader import should_treat_as_complex
from sympy import Expr, Float

from services.verifier.judgement.parser_limits import refusal

FLOAT_DECIMALS = 6
"""Decimals to which math-verify rounds floats (its own default)."""
CACHED_FORMULAS = 4096
DIGITS = 30
SAME_RELATIVE, SAME_EXACT_RELATIVE = 1e-6, 1e-20
"""Constants that differ by more are not the same; the second for those without a decimal."""

_NORMALISATION = NormalizationConfig(
    basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="none", equations=False
)
_LATEX = LatexExtractionConfig(boxed_match_priority=-1)
_ORDINARY_ANSWER = "12"
_LETTERS = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{1,3}(?![a-zA-Z])")
_OPERATOR_NAMES = """
    sin cos tan cot sec csc log ln lg exp pi max min gcd lcm det
"""
_NAMES = frozenset(_OPERATOR_NAMES.split())
_SPARE_LETTERS = "qwzuvhjkpmnstyxrabcfg"
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])")

# Its warnings repeat, for every call, that time limits are left to the caller; they are, see above.
logging.getLogger("math_verify").setLevel(logging.ERROR)


class NotAFormula(ValueError):
    """The text is not LaTeX mathematics."""


class ComparisonFailed(RuntimeError):
    """sympy raised while it compared two formulas that it had parsed."""


@lru_cache(maxsize=CACHED_FORMULAS)
def parse(latex: str) -> Any:
    """The sympy object that ``latex`` stands for.

    Args:
        latex: a cleaned answer.

    Raises:
        NotAFormula: words, code, unbalanced brackets, or refused before parsing.
    """
    refused = refusal(latex)
    if refused:
        raise NotAFormula(refused)
    try:
        normal = normalize_latex(expand_plus_minus(latex), _NORMALISATION)
        return latex2sympy(
            normal, is_real=not should_treat_as_complex(normal), convert_degrees=False, normalization_config=None
        )
    except Exception as error:  # the grammar raises bare Exception for a syntax error
        found = _second_reading(latex)
        if found is None:
            raise NotAFormula(str(error).partition("\n")[0]) from None
        return found


def _second_reading(latex: str) -> Any | None:
    """What math-verify reads with its own repairs; None when it finds no LaTeX mathematics."""
    try:
        found = math_verify.parse(
            f"${latex}$", [_LATEX], fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True
        )
    except Exception:  # as above: any type; the caller reports the first reading's error
        return None
    return found[0] if found else None


def equal(reference: str, answer: str) -> bool:
    """Whether two cleaned formulas mean the same.

    Raises:
        NotAFormula: one of them cannot be parsed.
        ComparisonFailed: sympy failed, so neither yes nor no is known.
    """
    reference, answer = with_distinct_letters(reference, answer)
    parsed = parse(reference), parse(answer)
    try:
        same = verify(
            *parsed,
            float_rounding=FLOAT_DECIMALS,
            allow_set_relation_comp=True,
            timeout_seconds=None,
            raise_on_error=True,
        )
        return bool(same) and not _differ_in_value(*parsed)
    except Exception as error:  # sympy raises almost any type, among them bare Exception
        raise ComparisonFailed(f"{type(error).__name__}: {error}"[:200]) from None


def with_distinct_letters(reference: str, answer: str) -> tuple[str, str]:
    """Both with another small letter for each capital whose small form occurs too.

    The parser makes one symbol of ``R`` and ``r``.
    """
    runs = _LETTERS.findall(f"{reference} {answer}")
    letters = set("".join(run for run in runs if run not in _NAMES))
    both = sorted(letter for letter in letters if letter.isupper() and letter.lower() in letters)
    if not both:
        return reference, answer
    free = (letter for letter in _SPARE_LETTERS if not {letter, letter.upper()} & letters)
    table = str.maketrans(dict(zip(both, free, strict=False)))

    def renamed(run: re.Match[str]) -> str:
        return run[0] if run[0] in _NAMES else run[0].translate(table)

    return _LETTERS.sub(renamed, reference), _LETTERS.sub(renamed, answer)


def _differ_in_value(first: Any, second: Any) -> bool:
    """Whether two constants differ beyond doubt, though they round to the same decimals.

    ``1/1998!`` and ``10^{-9999}`` round to 0.
    """
    if not all(isinstance(one, Expr) and one.is_number for one in (first, second)):
        return False
    share = SAME_RELATIVE if first.has(Float) or second.has(Float) else SAME_EXACT_RELATIVE
    one, other = (number.evalf(DIGITS) for number in (first, second))
    return bool(abs(one - other) > share * max(abs(one), abs(other)))


def try_reference(reference: str) -> None:
    """Compare the reference with an ordinary answer once, so that a hang shows as its own fault.

    Raises:
        NotAFormula: it cannot be parsed.
    """
    try:
        equal(reference, _ORDINARY_ANSWER)
    except ComparisonFailed:
        return  # the comparison that counts may still succeed


def expand_plus_minus(latex: str) -> str:
    r"""``a \pm b`` as ``a + b, a - b``, for every item of a list that holds one ``\pm``."""
    if not _PLUS_MINUS.search(latex):
        return latex
    items = []
    for item in split_items(latex):
        both = len(_PLUS_MINUS.findall(item)) == 1
        items += [_PLUS_MINUS.sub(sign, item) for sign in "+-"] if both else [item]
    return ",".join(items)


def split_items(latex: str) -> list[str]:
    """The items of a list, divided at commas outside of brackets."""
    items, depth, start = [], 0, 0
    for position, character in enumerate(latex):
        depth += (character in "{([") - (character in "})]")
        if character == "," and depth == 0:
            items.append(latex[start:position])
            start = position + 1
    return [*items, latex[start:]]
