r"""Multiple choice: which letters an answer names.

Rules:
- ``C``, ``(C)``, ``Option C``, ``\textbf{(C)}\ 12``, ``C. 12 m`` and ``C: 12`` name C: the text of
  the option is left out;
- a letter beside a second one (``(A) or (B)``, ``A) B``), or in a formula (``(A) + 1``), is no
  choice: an answer that names every option earns nothing;
- ``c`` and ``(c)`` name C up to J; a later letter is more often a symbol, whose case counts;
- several letters have no order: ``A, C`` = ``CA``;
- a reference such as ``(D) 12`` is the letter, and its text where the answer has no letter.

Invariant: a choice is read only where the reference is one, so that ``A`` may be a variable.
"""

from __future__ import annotations

import re

from services.verifier.judgement.normalisation import unwrapped

_LETTER = re.compile(r"\(?([A-Z])[.)]?")
_SMALL_LETTER = re.compile(r"\(?([a-j])[.)]?")
_LETTERS = re.compile(r"\(?[A-J]\)?(?:\s?(?:,|;|and|&)\s?(?:and\s)?\(?[A-J]\)?)+")
_RUN = re.compile(r"[A-J]{2,}")
_NAMED = re.compile(r"(?:option|choice|answer)\s?:?\s?\(?([a-z])[.)]?", re.IGNORECASE)
_WITH_TEXT = re.compile(r"(?:\(([A-Z])\)\s?[:.]?|([A-Z])(?:\)\s?[:.]?|[.:](?!\S)))\s*(\S.*)", re.DOTALL)
_NO_OPTION = re.compile(r"[-+*/=^_,;&|!?]|(?:or|and|not|nor)(?![a-zA-Z])", re.IGNORECASE)
_ANOTHER_LETTER = re.compile(
    r"(?<![\w\\{])(?:\(?[A-J]\)|[A-J]:)|^[A-HJ](?=$|[,;:.)/&|]|\s(?:or|and|[A-J])(?![a-zA-Z]))"
    r"|(?:(?<![a-zA-Z])(?:or|and|not|nor|either)|[,;/&|])\s?[A-J](?=$|[\s,;:.)/&|])"
)
"""A letter that is an option too: ``(B)``, ``B)``, ``or B``; not that of ``Hepatitis B``."""


def same_choice(reference: str, answer: str) -> bool | None:
    """Whether both name the same options; None when the reference is no choice.

    Args:
        reference: a cleaned reference (:func:`services.verifier.judgement.normalisation.clean`).
        answer: a cleaned answer.
    """
    expected, given = unwrapped(reference), unwrapped(answer)
    several = _letters(expected, given), _letters(given, expected)
    if several[0] and several[1]:
        return several[0] == several[1]
    letter = _LETTER.fullmatch(expected)
    if letter is None:
        return _same_option(expected, given)
    small = _SMALL_LETTER.fullmatch(given)
    choice = small[1].upper() if small else _choice(given)
    return choice == letter[1] if choice else None


def _same_option(expected: str, given: str) -> bool | None:
    option, letter = _option(expected), _LETTER.fullmatch(given) or _NAMED.fullmatch(given)
    if option is None:
        return None
    choice = letter[1].upper() if letter else _choice(given)
    return choice == option if choice else None


def _choice(text: str) -> str | None:
    """The one letter that ``text`` names; None when it is no choice."""
    named = _NAMED.fullmatch(text)
    return named[1].upper() if named else _option(text)


def _option(text: str) -> str | None:
    """The letter of ``C) 12``."""
    match = _WITH_TEXT.fullmatch(text)
    if match is None or (_NO_OPTION.match(match[3]) and not match[3].startswith("-")):
        return None
    return None if _ANOTHER_LETTER.search(match[3]) else match[1] or match[2]


def _letters(text: str, other: str) -> list[str]:
    """The letters of ``A, C``; of ``AC`` only beside a list, since it may be a product."""
    if _LETTERS.fullmatch(text):
        return sorted(filter(str.isupper, text))
    return sorted(text) if _RUN.fullmatch(text) and _LETTERS.fullmatch(other) else []
