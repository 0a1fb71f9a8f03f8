r"""What stands in a formula and a symbolic parser would pass over: words, upright letters, dots.

``7\text{8}``, ``7 \text{ + 1}``, ``7\mathrm{x}`` and ``7\ldots`` are not 7, though parsers that
drop text and dots read them so.

Invariant: units, names of things, separators and names of operators are no such pieces.
"""

from __future__ import annotations

import re

from services.verifier.judgement.counted_words import is_counted

_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf|tt)|operatorname|[mh]box)"
    r"\s*\{([^{}]*)\}"
)
_WORD = re.compile(r"(?<![a-zA-Z\\{])[a-zA-Z]{4,}(?![a-zA-Z}])")
_LONG_DECIMAL = re.compile(r"\.\d{6,}\s?\\ldots")
_PRIME = re.compile(r"\d\s?'(?!\d)")
_OPERATOR_NAMES = """
    sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp sqrt frac gcd
    lcm max min det tr rank mod deg dim ker arg sgn sign re im inf sup lim and or for all in
    begin end asin acos atan arcsine
"""
_OPERATORS = frozenset(_OPERATOR_NAMES.split())


def unread_pieces(cleaned: str) -> frozenset[str]:
    """The pieces of a cleaned answer that only text can compare, without spaces, small letters but
    for single ones.
    """
    if cleaned.isdigit():
        return frozenset()
    texts = list(_TEXT.finditer(cleaned))
    pieces = {piece for text in texts if (piece := _piece(text[1], applied=text.end() < len(cleaned)))}
    if _PRIME.search(cleaned):
        pieces.add("'")
    if r"\ldots" in cleaned and not _LONG_DECIMAL.search(cleaned):
        pieces.add("...")
    words = _WORD.findall(_TEXT.sub(" ", cleaned) if texts else cleaned)
    return frozenset(pieces | {piece for word in words if (piece := _piece(word, applied=True))})


def _piece(text: str, applied: bool) -> str:
    """The piece to compare, or nothing; an operator that is not ``applied`` to anything would be lost."""
    words = text.strip(" ,.;:")
    if (words.lower() in _OPERATORS and applied) or is_counted(words):
        return ""
    return words if len(words) == 1 else "".join(words.lower().split())
