"""Times of day.

Invariant: only ``h:mm`` and ``h:mm:ss`` in range, ``7 a.m.``, noon and midnight are times; a ratio
such as ``7:5`` is none.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TIME = re.compile(
    r"(\d{1,2})(?::([0-5]\d)(?::([0-5]\d))?|(?=\s*[ap]\s?\.?\s?m))\s*(?:([ap])\s?\.?\s?m\.?)?", re.IGNORECASE
)
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm)\s*\{([^{}]*)\}|[$~]|\\[,;:! ]")
_HOURS = 12
CACHED_TIMES = 4096
MAXIMUM_CHARACTERS = 60
_NAMED = {"noon": (12, 0, 0, "p"), "midnight": (12, 0, 0, "a")}


def is_time(text: str) -> bool:
    """Whether all of ``text`` is a time of day."""
    return _read(text) is not None


def same_time(reference: str, answer: str) -> bool | None:
    """Whether both are the same time; None when one of them is no time.

    A time without a.m. or p.m. also stands for the same time of a twelve-hour clock.
    """
    first = _read(reference)
    second = first and _read(answer)
    if first is None or second is None:
        return None
    if (first[3] == "") == (second[3] == "") or max(first[0], second[0]) > _HOURS:
        return _of_day(first) == _of_day(second)
    return (first[0] % _HOURS, *first[1:3]) == (second[0] % _HOURS, *second[1:3])


@lru_cache(maxsize=CACHED_TIMES)
def _read(text: str) -> tuple[int, int, int, str] | None:
    """(hour, minute, second, "a", "p" or "")."""
    if text.isdigit() or len(text) > MAXIMUM_CHARACTERS:
        return None
    text = " ".join(_TEXT.sub(r" \1 ", text).split())
    if text.lower() in _NAMED:
        return _NAMED[text.lower()]
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) > (_HOURS if match[4] else 24):
        return None
    return int(match[1]), int(match[2] or 0), int(match[3] or 0), (match[4] or "").lower()


def _of_day(time: tuple[int, int, int, str]) -> tuple[int, int, int]:
    hour, minute, second, half = time
    if half:
        hour = hour % _HOURS + (_HOURS if half == "p" else 0)
    return hour, minute, second
