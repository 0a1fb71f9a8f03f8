"""Numbers written as words, ordinals and repeating decimals, as digits.

Invariant: only a text that is nothing but such a number is changed.
"""

from __future__ import annotations

import re

_SMALL_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty
"""
_SMALL = _SMALL_WORDS.split()
_TENS_WORDS = """
    twenty thirty forty fifty sixty seventy eighty ninety
"""
_TENS = _TENS_WORDS.split()
_ORDINAL_WORDS = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth
"""
_ORDINALS = _ORDINAL_WORDS.split()
_WORDS = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    **{
        f"{tens}-{_SMALL[unit]}": 10 * value + unit
        for value, tens in enumerate(_TENS, start=2)
        for unit in range(1, 10)
    },
}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALED = re.compile(rf"(\d[\d,.]*)\s?({'|'.join(_SCALES)})s?")
_ORDINAL = re.compile(r"(\d+)\s?(?:\^\{?)?\s?(?:st|nd|rd|th)\}?")
_REPEATING = re.compile(
    r"(-?)(\d*)\.(\d*)\\(?:overline|bar|dot|overbar)\s*(?:\{(\d+)\}|(\d))"
)
_REPEATING_IN_BRACKETS = re.compile(r"(-?)(\d+)\.(\d*)\((\d+)\)()")


def as_digits(text: str) -> str:
    r"""``eleven`` as ``11``, ``3rd`` as ``3``, ``0.1\overline{6}`` as ``15/90``."""
    word = text.lower().replace(" ", "-")
    if word in _WORDS:
        return str(_WORDS[word])
    if word in _ORDINALS:
        return str(_ORDINALS.index(word))
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal:
        return ordinal[1]
    scaled = _SCALED.fullmatch(text.lower())
    if scaled:
        return rf"{scaled[1]}\times 10^{{{_SCALES[scaled[2]]}}}"
    repeating = _REPEATING.fullmatch(text) or _REPEATING_IN_BRACKETS.fullmatch(text)
    return _fraction(repeating) if repeating else text


def _fraction(match: re.Match[str]) -> str:
    """Geometric series: 0.a(b) = (ab - a) / (10^|a| (10^|b| - 1))."""
    sign, whole, fixed, period = match[1], match[2], match[3], match[4] or match[5]
    top = int(whole + fixed + period) - int(whole + fixed or "0")
    return f"{sign}{top}/{(10 ** len(period) - 1) * 10 ** len(fixed)}"
