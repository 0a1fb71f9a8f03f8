r"""Numerals in another base: ``101_2``, ``(101)_{2}``, ``2A_{\text{sixteen}}``.

Rules:
- two numerals with a base are the same if base and digits are: ``101_2`` is not ``101_3``;
- beside a numeral without a base, the digits are compared as they are (the problem says the base):
  ``3120_4`` is ``3120``, and ``101_2`` is not ``5``;
- what cannot be a numeral (``5_2``, ``5_x``) is not the number before its index.
"""

from __future__ import annotations

import re

_BASE_NAMES = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
"""
_BASES = {name: value for value, name in enumerate(_BASE_NAMES.split(), start=2)}
_NUMERAL = re.compile(r"\(?\s?((?=[A-F]*\d)[0-9A-F]+)\s?\)?\s?_\s?(?:\{\s?(\d{1,2}|[a-z]+)\s?\}|(\d|[a-z]+))")
_WITHOUT_BASE = re.compile(r"[0-9]+|(?=\d*[A-F])[0-9A-F]{2,}")


def same_numeral(reference: str, answer: str) -> bool | None:
    """Whether two texts (:func:`services.verifier.judgement.normalisation.plain`) are the same numeral; None
    when neither of them has a base.
    """
    first, second = _NUMERAL.fullmatch(reference), _NUMERAL.fullmatch(answer)
    if first is None and second is None:
        return None
    if first and second:
        base = _base(first)
        same_base = base is not None and base == _base(second)
        return same_base and _digits(first[1]) == _digits(second[1])
    based, other = (first, answer) if first else (second, reference)
    if based is None or not _WITHOUT_BASE.fullmatch(other):
        return None
    return _digits(based[1]) == _digits(other) and _is_valid(based[1], _base(based))


def _base(numeral: re.Match[str]) -> int | None:
    name = numeral[2] or numeral[3]
    return int(name) if name.isdigit() else _BASES.get(name)


def _digits(numeral: str) -> str:
    return numeral.lstrip("0")


def _is_valid(digits: str, base: int | None) -> bool:
    return base is not None and all(int(digit, 16) < base for digit in digits)
