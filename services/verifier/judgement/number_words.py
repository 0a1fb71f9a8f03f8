"""Numbers written as words, ordinals and repeating decimals, as digits.

Rules:
- cardinals up to trillions, with or without hyphens and "and": ``two hundred and fifty``; a minus
  as ``minus`` or ``negative``; ``a dozen``, ``two dozen``, ``1.5 million``;
- ordinals below a hundred and ``21st`` count as their number;
- fractions: ``one half``, ``three quarters``, ``a third``, ``two and a half`` (``3 and 1/2`` is a
  list);
- the name of a unit may follow (:mod:`services.verifier.judgement.counted_words`): ``three apples``.

Invariant: only a text that is nothing but such a number is changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from services.verifier.judgement.counted_words import is_unit

_SMALL_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen
"""
_TENS_WORDS = """
    twenty thirty forty fifty sixty seventy eighty ninety
"""
_ORDINAL_WORDS = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
    thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth
"""
_TENS_ORDINAL_WORDS = """
    twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth
"""
_SMALL = {word: value for value, word in enumerate(_SMALL_WORDS.split())}
_TENS = {word: 10 * value for value, word in enumerate(_TENS_WORDS.split(), start=2)}
_ORDINALS = {
    **{word: value for value, word in enumerate(_ORDINAL_WORDS.split())},
    **{word: 10 * value for value, word in enumerate(_TENS_ORDINAL_WORDS.split(), start=2)},
}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_THOUSANDS = {word: 10**power for word, power in _SCALES.items() if power > 2}
_PARTS = {
    "half": 2,
    "quarter": 4,
    "hundredth": 100,
    "thousandth": 1000,
    **{word: value for word, value in _ORDINALS.items() if value > 2},
}
_PLURAL_PARTS = {"halves": 2, **{f"{word}s": value for word, value in _PARTS.items()}}
_NEGATIVE = ("minus", "negative")
_ONE = ("a", "an", "one")
_SCALED = re.compile(rf"(\d[\d,.]*)\s?({'|'.join(_SCALES)}|dozen)s?(?:\s([a-z. ]+))?")
_POWER_OF_TEN = re.compile(r"([-+]?\d+(?:\.\d*)?|[-+]?\.\d+)[eE]([-+]?\d{1,3})")
_ORDINAL = re.compile(r"(\d+)\s?(?:\^\{?)?\s?(?:st|nd|rd|th)\}?")
_REPEATING = re.compile(r"(-?)(\d*)\.(\d*)\\(?:overline|bar|dot|overbar)\s*(?:\{(\d+)\}|(\d))")
_REPEATING_IN_BRACKETS = re.compile(r"(-?)(\d+)\.(\d*)\((\d+)\)()")
_WORDS = re.compile(r"[a-zA-Z][a-zA-Z -]{2,99}\d{0,30}")
"""Words alone, but for the digits after a minus."""


def as_digits(text: str) -> str:
    r"""``eleven`` as ``11``, ``3rd`` as ``3``, ``0.1\overline{6}`` as ``15/90``, ``2e-5`` as a
    power.
    """
    if text.isdigit():
        return text
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal:
        return ordinal[1]
    scaled = _SCALED.fullmatch(text.lower())
    if scaled and (scaled[3] is None or is_unit(scaled[3])):
        return _scaled(scaled[1], scaled[2])
    power = _POWER_OF_TEN.fullmatch(text)
    if power:
        return rf"{power[1]}\times 10^{{{int(power[2])}}}"
    repeating = _REPEATING.fullmatch(text) or _REPEATING_IN_BRACKETS.fullmatch(text)
    if repeating:
        return _fraction(repeating)
    spelled = _spelled(text) if _WORDS.fullmatch(text) else None
    return text if spelled is None else str(spelled)


def _scaled(digits: str, scale: str) -> str:
    if scale == "dozen":
        return str(12 * int(digits)) if digits.isdigit() else f"{digits} dozen"
    return rf"{digits}\times 10^{{{_SCALES[scale]}}}"


def _spelled(text: str) -> Fraction | None:
    """The number that words say, with a unit after them or without."""
    words = text.lower().replace("-", " ").split()
    if words[0] in _NEGATIVE:
        number = _unsigned(words[1:])
        return None if number is None else -number
    return _unsigned(words)


def _unsigned(words: Sequence[str]) -> Fraction | None:
    for end in range(len(words), 0, -1):
        number = _number(words[:end])
        if number is not None:
            return number if end == len(words) or is_unit(" ".join(words[end:])) else None
    return None


def _number(words: Sequence[str]) -> Fraction | None:
    """A cardinal, an ordinal, a fraction, or a cardinal "and" a fraction."""
    for read in (_cardinal, _ordinal, _part, _dozen):
        number = read(words)
        if number is not None:
            return number
    for position, word in enumerate(words):
        if word == "and":
            whole, part = _cardinal(words[:position]), _part(words[position + 1 :])
            if whole is not None and part is not None and part < 1:
                return whole + part
    return None


def _cardinal(words: Sequence[str]) -> Fraction | None:
    """``one thousand two hundred and thirty four``: each scale word smaller than the one before."""
    if len(words) == 1 and words[0].isdigit():
        return Fraction(int(words[0]))
    total, group, last, previous = 0, 0, "", 10**15
    for word in words:
        if word == "and" and last in _SCALES:
            pass
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif _THOUSANDS.get(word, previous) < previous and group:
            previous = _THOUSANDS[word]
            total, group = total + group * previous, 0
        elif word in _TENS and group % 100 == 0:
            group += _TENS[word]
        elif word in _SMALL and _fits(group, last, word):
            group += _SMALL[word]
        else:
            return None
        last = word
    return Fraction(total + group) if words and last != "and" else None


def _fits(group: int, last: str, word: str) -> bool:
    """Whether a word below twenty may follow: a digit after a ten, anything after a hundred."""
    if last in _TENS:
        return 0 < _SMALL[word] < 10
    return group % 100 == 0 and last != "zero" and (not last or word != "zero")


def _ordinal(words: Sequence[str]) -> Fraction | None:
    """``third``, ``twenty first``."""
    if not words or words[-1] not in _ORDINALS:
        return None
    number, rest = _ORDINALS[words[-1]], words[:-1]
    if not rest:
        return Fraction(number)
    tens = len(rest) == 1 and rest[0] in _TENS and 0 < number < 10
    return Fraction(_TENS[rest[0]] + number) if tens else None


def _part(words: Sequence[str]) -> Fraction | None:
    """``a half``, ``three quarters``."""
    if len(words) == 2 and words[0] in _ONE and words[1] in _PARTS:
        return Fraction(1, _PARTS[words[1]])
    count = _cardinal(words[:-1])
    bottom = _PLURAL_PARTS.get(words[-1]) if words else None
    return None if count is None or bottom is None else count / bottom


def _dozen(words: Sequence[str]) -> Fraction | None:
    """``a dozen``, ``two dozen``."""
    if len(words) < 2 or words[-1] not in ("dozen", "dozens"):
        return None
    count = Fraction(1) if words[:-1] == ["a"] else _cardinal(words[:-1])
    return None if count is None else 12 * count


def _fraction(match: re.Match[str]) -> str:
    """Geometric series: 0.a(b) = (ab - a) / (10^|a| (10^|b| - 1))."""
    sign, whole, fixed, period = match[1], match[2], match[3], match[4] or match[5]
    top = int(whole + fixed + period) - int(whole + fixed or "0")
    return f"{sign}{top}/{(10 ** len(period) - 1) * 10 ** len(fixed)}"
