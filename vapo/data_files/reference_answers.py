"""Reference answers as files hold them: numbers, lists of one, whole solutions."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

MARK = "####"
"""GSM8K's sign before the answer, at the end of a solution."""
BOXES = ("\\boxed", "\\fbox")
LIST_OF_TEXTS = re.compile(r'\s*\[\s*".*"\s*\]\s*\Z', re.DOTALL)


def answer_text(value: Any) -> Any:
    """A reference answer as text: a number in plain decimals (51.0 is 51), a list of one as its
    element, so too a list that says the same several times, and a list of texts written as JSON
    (``["34"]``). Anything that is neither text, number nor list is returned as it is.

    Raises:
        ValueError: a number that is not finite, or a list of several answers.
    """
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, str) and LIST_OF_TEXTS.match(value):
        return _of_written_list(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(value) if isinstance(value, int) else _plain(value)


def after_mark(solution: str) -> str:
    """What stands after the last ``####``; the whole text where there is none."""
    return solution.rpartition(MARK)[2].strip()


def last_box(solution: str) -> str | None:
    r"""What stands in the last ``\boxed{...}`` that is not empty; None where there is none."""
    for start in sorted(_box_starts(solution), reverse=True):
        content = _braced(solution, start)
        if content and content.strip():
            return content.strip()
    return None


def _of_list(values: list[Any]) -> Any:
    texts = list(dict.fromkeys(answer_text(value) for value in values if not _is_empty(value)))
    if len(texts) == 1:
        return texts[0]
    raise ValueError(
        f"is a list of {len(texts)} different answers; a problem has one reference answer, so "
        "write them as one text, such as '1, 2', or name one of them (a column name with .0)"
    )


def _of_written_list(text: str) -> Any:
    try:
        values = json.loads(text)
    except ValueError:
        return text
    return _of_list(values) if all(isinstance(value, str) for value in values) else text


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict | list):
        raise ValueError("is a list of lists or objects; a problem has one reference answer")
    return value is None or value == ""


def _plain(number: float) -> str:
    if not math.isfinite(number):
        raise ValueError("the number is too large; write the reference answer as text")
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _box_starts(text: str) -> list[int]:
    starts = []
    for box in BOXES:
        place = text.find(box)
        while place >= 0:
            starts.append(place + len(box))
            place = text.find(box, place + len(box))
    return starts


def _braced(text: str, start: int) -> str | None:
    rest = text[start:].lstrip()
    if not rest.startswith("{"):
        return rest[:1] or None  # \boxed 7
    depth, escaped = 0, False
    for place, sign in enumerate(rest):
        if not escaped and sign in "{}":
            depth += 1 if sign == "{" else -1
        escaped = sign == "\\" and not escaped
        if depth == 0:
            return rest[1:place]
    return None
