"""Why a process ended, read from the end of its log. Pure: text in, one line out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LONGEST = 400
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"(?:\(\w+(?: pid=\d+)?\) ?)*"  # of vLLM's processes
    r"(?:\[rank\d+\]: ?)?"
    r"(?:(?:ERROR|CRITICAL|WARNING|INFO) \d\d-\d\d [\d:]+ \[[^\]]*\] ?)?"
)
_TRACEBACK = re.compile(r"\s*Traceback \(most recent call last\):")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:?)$")
_LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?:ERROR|CRITICAL) +(?P<text>.*)$")
_TOLD = re.compile(r"(?:trainer|services\.\w+|guard): .")
"""The one line of a start that failed (`vapo.startup`)."""
_POINTERS = ("root cause above", "ChildFailedError", "Exception in ASGI application")
"""Words of lines that only point at the cause."""
_DETAIL_ENDS = ("For further information", "File ", "Traceback")


def reason(lines: Sequence[str]) -> str:
    """The line that says why the process with this log ended; its last line when none does."""
    plain = [_PREFIX.sub("", _COLOUR.sub("", line), count=1).rstrip() for line in lines]
    causes = [cause for cause in _causes(plain) if not any(words in cause for words in _POINTERS)]
    spoken = [line.strip() for line in plain if line.strip()]
    found = causes[-1] if causes else spoken[-1] if spoken else ""
    return found if len(found) <= LONGEST else found[: LONGEST - 4] + " ..."


def _causes(lines: Sequence[str]) -> Iterator[str]:
    inside = False
    for number, line in enumerate(lines):
        logged = _LOGGED.match(line)
        if _TRACEBACK.match(line):
            inside = True
        elif logged:
            yield logged["text"]
        elif inside and line and not line.startswith(" ") and _EXCEPTION.match(line):
            inside = False
            yield _with_details(line, lines[number + 1 :])
        elif _TOLD.match(line):
            yield line


def _with_details(line: str, following: Sequence[str]) -> str:
    """An exception's text may go on in indented lines."""
    text = line
    for more in following:
        detail = more.strip()
        if not more.startswith(" ") or detail.startswith(_DETAIL_ENDS) or len(text) > LONGEST:
            break
        text += f" {detail}"
    return text
