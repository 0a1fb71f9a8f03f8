"""Times of day.

Invariant: only ``h:mm`` and ``h:mm:ss`` in range are times; a ratio such as ``7:5`` is none.
"""

from __future__ import annotations

import re

_TIME = re.compile(
    r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:([ap])\s?\.?\s?m\.?)?", re.IGNORECASE
)
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm)\s*\{([^{}]*)\}|[$~]|\\[,;: ]")
_HOURS = 12


def is_time(text: str) -> bool:
    """Whether all of ``text`` is a time of day."""
    return _read(text) is not None


def same_time(reference: str, answer: str) -> bool | None:
    """Whether both are the same time; None when one of them is no time.

    A time without a.m. or p.m. also stands for the same time of a twelve-hour clock.
    """
    first, second = _read(reference), _read(answer)
    if first is None or second is None:
        return None
    if (first[3] == "") == (second[3] == "") or max(first[0], second[0]) > _HOURS:
        return _of_day(first) == _of_day(second)
    return (first[0] % _HOURS, *first[1:3]) == (second[0] % _HOURS, *second[1:3])


def _read(text: str) -> tuple[int, int, int, str] | None:
    """(hour, minute, second, "a", "p" or "")."""
    match = _TIME.fullmatch(" ".join(_TEXT.sub(r" \1 ", text).split()))
    if match is None or int(match[1]) > (_HOURS if match[4] else 24):
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0), (match[4] or "").lower()


def _of_day(time: tuple[int, int, int, str]) -> tuple[int, int, int]:
    hour, minute, second, half = time
    if half:
        hour = hour % _HOURS + (_HOURS if half == "p" else 0)
    return hour, minute, second
