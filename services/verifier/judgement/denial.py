"""Answers that a text names only to deny them: ``The wrong answer is 7``, ``7 is not the answer``.

Invariant: only the words directly before and after an answer are looked at, within one line, so
that ``it is not 5 but 7`` and ``the number of cards that are not red is 7`` say 7.
"""

from __future__ import annotations

import re

BEFORE_CHARACTERS, AFTER_CHARACTERS = 80, 60
_DENIES = (
    r"(?:not|never|cannot|neither|nor|\w+n['’]t|wrong|incorrect|false|mistaken|rejected"
    r"|anything but|other than|except|no longer|instead of|rather than)"
)
_BETWEEN = (
    r"(?:be|being|is|are|was|equal|equals|to|the|a|an|my|our|your|final|correct|right|answer|option"
    r"|choice|value|result|solution|number|of|exactly|simply|just)"
)
_DENIED_BEFORE = re.compile(
    rf"(?<![a-zA-Z'’]){_DENIES}(?:[\s:*$({{\\]+{_BETWEEN}(?![a-zA-Z]))*[\s:*$({{\\=]*$", re.IGNORECASE
)
_HINT = re.compile(r"n[oe'’]|wrong|rrect|false|reject|mist|but|cept|stead|ather|other")
"""Found quickly where :data:`_DENIED_BEFORE` may match at all."""
_DENIED_AFTER = re.compile(
    r"[\s*$)}\\]*(?:"
    r"(?:is|was|are|were|would be|can|could|must|does|did)\s+(?:(?:not|never)(?:\s+be)?|no longer)"
    r"|(?:is|was|does|ca|wo|could|would)n['’]t(?:\s+be)?|cannot\s+be)\s+"
    r"(?:(?:the|an?|my|our|your)\s+)?(?:final\s+)?"
    r"(?:answer|correct|right|possible|valid|true|(?:a\s)?solution|it)(?![a-zA-Z])"
    r"|[\s*$)}\\]*(?:is|was|are|were|would be)\s+(?:the\s+|a\s+)?"
    r"(?:wrong|incorrect|false|impossible|invalid|excluded|ruled out"
    r"|too (?:large|small|big|high|low|many|few))(?![a-zA-Z])",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the words beside ``text[start:end]`` say that it is not the answer."""
    before = text[max(0, start - BEFORE_CHARACTERS) : start].rpartition("\n")[2]
    if _HINT.search(before.lower()) and _DENIED_BEFORE.search(before):
        return True
    return _DENIED_AFTER.match(text[end : end + AFTER_CHARACTERS].partition("\n")[0]) is not None
