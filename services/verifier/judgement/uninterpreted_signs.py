r"""Signs that no reader of formulas knows, compared as signs: ``\angle ABC``, ``p \land q``,
``f'(x)``.

A parser that passes over a sign makes ``\angle ABC`` the product of three letters, which is
``\angle ACB``, and ``f'`` the function itself. So a text with a sign outside of a closed list has
no value; it is the same as another one only if both are written with the same signs in the same
order, but for

- several ways of writing one sign (``\rightarrow`` and ``\to``) and needless braces;
- the sides of one symmetric sign (``AB \perp CD``), or of a run of one (``A \cap B \cap C``);
- the points of an angle from either side (``ABC`` and ``CBA``), those of a segment or triangle in
  any order where it stands alone.

Invariant: linear in the length of the text but for the sorting of the sides.
"""

from __future__ import annotations

import re
from functools import lru_cache

CACHED_TEXTS = 16_384

_READ_NAMES = r"""
    frac dfrac tfrac sqrt binom dbinom tbinom choose over times cdot ast div pm mp pi infty
    sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth ln log lg exp
    max min gcd lcm det sum prod int lim to le leq leqslant ge geq geqslant lt gt ne neq approx in
    cup cap setminus emptyset mathbb circ degree left right begin end text textbf textit textrm
    mbox hbox mathrm mathbf mathit operatorname boldsymbol bm lfloor rfloor lceil rceil lvert rvert
    vert ldots overline pmod bmod mod boxed displaystyle quad qquad
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi
    rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi
    Omega hbar ell
"""
_READ = frozenset(_READ_NAMES.split())
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_UNREAD = re.compile(
    r"[^\x00-\x7f]|'|\\prime|\\\||[_^]\s?\{?\s?[+*](?![\w(\\{])|\\begin\{Vmatrix\}"
    r"|\\overline\s?\{?\s?[A-Z]{2}"
)
_INVERSE = r"[A-Z]\s?\^\s?\{\s?-1\s?\}"
_NO_VALUE = re.compile(
    rf"{_INVERSE}\s?(?:[A-Z]|\\cdot)|[A-Z]\s?(?:\\cdot\s?)?{_INVERSE}"
    r"|[A-Z]\s?\^\s?\{?\s?(?:T(?![a-zA-Z])|\\top)"
    r"|(?<![a-zA-Z\\])[fghFGH]\s?\^\s?(?:\{[^{}]*\}|\w)\s?\("
    r"|\\(?:mathbf|bm|boldsymbol|vec|overrightarrow|hat).*\\times"
    r"|\\frac\s?\{\s?d[^{}]*\}\s?\{\s?d\s?[a-z]|\\lim(?![a-zA-Z]).*[a-zA-Z]\s?_"
    r"|[a-zA-Z]\s?\^\s?\{\s?\(\s?[\dn]\s?\)\s?\}"
)
"""Products of matrices, whose order counts; powers of functions; vector products; derivatives;
limits of sequences without a formula."""
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+|[^\s]")
_SAME = {
    **dict.fromkeys((r"\rightarrow", r"\longrightarrow"), r"\to"),
    **dict.fromkeys((r"\Rightarrow", r"\Longrightarrow"), r"\implies"),
    **dict.fromkeys((r"\Leftrightarrow", r"\Longleftrightarrow", r"\leftrightarrow"), r"\iff"),
    r"\wedge": r"\land",
    r"\vee": r"\lor",
    r"\lnot": r"\neg",
    r"\backslash": r"\setminus",
    **dict.fromkeys((r"\|", r"\lVert", r"\rVert"), r"\parallel"),
    r"\mid": "|",
    r"\vert": "|",
    r"\prime": "'",
    r"\gt": ">",
    r"\lt": "<",
    **dict.fromkeys((r"\leq", r"\leqslant"), r"\le"),
    r"\neq": r"\ne",
    **dict.fromkeys((r"\geq", r"\geqslant"), r"\ge"),
    r"\measuredangle": r"\angle",
    r"\bar": r"\overline",
    r"\overrightarrow": r"\vec",
    r"\widehat": r"\hat",
    r"\mathbf": r"\mathbb",
    r"\bm": r"\mathbb",
    r"\boldsymbol": r"\mathbb",
}
_SYMMETRIC = frozenset(
    (
        r"\perp",
        r"\parallel",
        r"\cong",
        r"\sim",
        r"\equiv",
        "=",
        r"\ne",
        r"\land",
        r"\lor",
        r"\cup",
        r"\cap",
        r"\iff",
        r"\oplus",
    )
)
_OTHER_OPERATORS = frozenset(
    (
        "+",
        "-",
        "*",
        "/",
        ",",
        ";",
        ":",
        "<",
        ">",
        "|",
        r"\to",
        r"\implies",
        r"\setminus",
        r"\le",
        r"\ge",
        r"\in",
        r"\notin",
        r"\subset",
        r"\subseteq",
        r"\times",
        r"\circ",
        r"\neg",
        r"\forall",
        r"\exists",
        r"\ominus",
        r"\otimes",
        r"\odot",
        r"\pmod",
        r"\mod",
        r"\bmod",
        r"\approx",
    )
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_BRACED = re.compile(r"\{([^{}\\] ?|\\[a-zA-Z]+ ?)\}")
_PRIMES = re.compile(r"\^ ?(?:\{((?:' ?)+)\}|')")
_NAMED_IN_BRACES = re.compile(r"(\\(?:angle|triangle|overline|vec|square) )\{([A-Z]+)\}")
_ANGLE = re.compile(r"\\angle ?\{?([A-Z])([A-Z])([A-Z])(?![A-Z'_])\}?")
_POINTS = re.compile(r"(\\(?:triangle|overline)) ?\{?([A-Z]{2,3})(?![A-Z'_])\}?")


@lru_cache(maxsize=CACHED_TEXTS)
def has_unread_signs(cleaned: str) -> bool:
    """Whether a cleaned answer holds a sign without a meaning to the readers of formulas."""
    if "\\" not in cleaned and cleaned.isalnum() and cleaned.isascii():
        return False
    if not _READ.issuperset(_COMMAND.findall(cleaned)):
        return True
    return bool(_UNREAD.search(cleaned)) or has_no_value(cleaned)


@lru_cache(maxsize=CACHED_TEXTS)
def has_no_value(cleaned: str) -> bool:
    """Whether a cleaned answer would be read as an ordinary product or quotient and is none."""
    return ("^" in cleaned or "\\" in cleaned) and _NO_VALUE.search(cleaned) is not None


def same_signs(reference: str, answer: str) -> bool:
    """Whether two cleaned answers are the same signs in the same order (see the module)."""
    return _canonical(reference) == _canonical(answer)


@lru_cache(maxsize=CACHED_TEXTS)
def _canonical(cleaned: str) -> str:
    tokens = [_SAME.get(token, token) for token in _TOKEN.findall(cleaned)]
    sides, operator = _sides(tokens)
    texts = [_written(side) for side in sides]
    if operator is None:
        match = _POINTS.fullmatch(texts[0])
        return f"{match[1]} {''.join(sorted(match[2]))}" if match else texts[0]
    return f" {operator} ".join(sorted(texts))


def _written(tokens: list[str]) -> str:
    """One way of writing ``tokens``: no needless braces, an angle from its lesser end."""
    spaced = (f"{token} " if token[0] == "\\" or token.isdigit() else token for token in tokens)
    text = "".join(spaced)
    while (shorter := _BRACED.sub(r"\1", text)) != text:
        text = shorter
    text = _NAMED_IN_BRACES.sub(r"\1\2", text)
    text = _PRIMES.sub(lambda match: (match[1] or "'").replace(" ", ""), text)
    return _ANGLE.sub(lambda points: _angle(*points.groups()), text).strip()


def _angle(first: str, vertex: str, last: str) -> str:
    return rf"\angle {min(first, last)}{vertex}{max(first, last)}"


def _sides(tokens: list[str]) -> tuple[list[list[str]], str | None]:
    """What stands between the one symmetric sign outside of brackets, and that sign; else all."""
    sides: list[list[str]] = [[]]
    operators: set[str] = set()
    depth = 0
    for token in tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth == 0 and (token in _SYMMETRIC or token in _OTHER_OPERATORS):
            operators.add(token)
        if depth == 0 and token in _SYMMETRIC:
            sides.append([])
        else:
            sides[-1].append(token)
    chained = len(operators) == 1 and operators <= _SYMMETRIC and all(sides)
    return (sides, operators.pop()) if chained else ([tokens], None)
