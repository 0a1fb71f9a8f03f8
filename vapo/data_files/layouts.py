"""Which columns of a file are its problems: those that were named, else those of a known layout.

Invariant: the choice is made once for a file, from all its rows, and can be told in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vapo.data_files.columns import INSIDE, TOGETHER, value_at
from vapo.data_files.conversation import ends_with_an_answer
from vapo.data_files.errors import DataFileError
from vapo.data_files.reference_answers import MARK, last_box

OWN_PROMPTS = ("prompt", "messages", "prompt_token_ids")
"""The gateway's own names; where one of them is taken, each row may use any of them."""
PROMPTS = (*OWN_PROMPTS, "body+question", "problem", "question", "query", "instruction", "input")
ANSWERS = (
    "answer",
    "reward_model.ground_truth",
    "ground_truth",
    "final_answer",
    "expected_answer",
    "reference_answer",
    "gt_answer",
    "target",
    "label",
    "solution",
)
ROWS_LOOKED_AT = 1000
"""Of which columns hold what; all columns of all rows are known by name."""
Row = Mapping[str, Any]
Reading = Literal["whole", "mark", "box"]
"""How a solution holds its answer: ``whole``, ``mark`` (after ####) or ``box`` (last box)."""


@dataclass(frozen=True)
class FileLayout:
    """The columns that were taken."""

    prompt: str
    answer: str
    reading: Reading = "whole"
    own: bool = False
    """Whether each row may use any of the gateway's own names for the prompt."""

    @property
    def told(self) -> str:
        """What was taken, for people."""
        part = {"whole": "", "mark": f" (after {MARK})", "box": r" (its last \boxed)"}
        return f"prompt from {self.prompt!r}, answer from {self.answer!r}{part[self.reading]}"

    @property
    def is_plain(self) -> bool:
        """Whether the file already has the gateway's own names, so that nothing is to be told."""
        return self.own and self.answer == "answer" and self.reading == "whole"


def layout_of(rows: Sequence[Row], prompt: str | None, answer: str | None, has_pattern: bool) -> FileLayout:
    """The layout of a file; ``prompt`` and ``answer`` are the columns that were named, if any.

    Raises:
        DataFileError: nothing was named and no known column is there; lists those that are.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    seen = rows[:ROWS_LOOKED_AT]
    taken = check_named(prompt, rows) or _first(names, seen, PROMPTS, _may_be_prompt)
    if taken is None:
        raise DataFileError(_unknown("prompt", rows, names, PROMPTS))
    found = check_named(answer, rows) or _first(names, seen, ANSWERS, _may_be_answer)
    if found is None:
        raise DataFileError(_unknown("answer", rows, names, ANSWERS))
    own = prompt is None and taken in OWN_PROMPTS
    named = answer is not None or has_pattern
    return FileLayout(taken, found, "whole" if named else _reading(seen, found, own), own)


def absent(columns: Iterable[str], rows: Sequence[Row]) -> list[str]:
    """Those of the columns that no row has."""
    return [column for column in columns if not any(column in row or value_at(row, column) is not None for row in rows)]


def check_named(column: str | None, rows: Sequence[Row]) -> str | None:
    """``column``, if it was named. Raises DataFileError where it has no value in any row."""
    if column and not any(value_at(row, column) is not None for row in rows):
        raise DataFileError(f"has no column {column!r}; its columns are {_listed(rows)}")
    return column


def _reading(rows: Iterable[Row], answer: str, own: bool) -> Reading:
    texts = [text for text in (value_at(row, answer) for row in rows) if isinstance(text, str)]
    if not own and any(MARK in text for text in texts):
        return "mark"
    boxed = answer.lower() == "solution" and any(last_box(text) for text in texts)
    return "box" if boxed else "whole"


def _first(
    names: Mapping[str, Any], rows: Sequence[Row], candidates: Iterable[str], suits: Callable[[Any], bool]
) -> str | None:
    for candidate in candidates:
        column = _spelled(names, candidate)
        if column and any(suits(value_at(row, column)) for row in rows):
            return column
    return None


def _spelled(names: Mapping[str, Any], candidate: str) -> str | None:
    """The candidate as the file spells it, for example ``Answer``; None if it is not there."""
    for sign in (TOGETHER, INSIDE):
        if sign in candidate:
            first, _, rest = candidate.partition(sign)
            if sign == INSIDE:
                return candidate if first in names else None
            parts = (_spelled(names, first), _spelled(names, rest))
            return f"{parts[0]}{sign}{parts[1]}" if all(parts) else None
    if candidate in names:
        return candidate
    return next((name for name in names if name.lower() == candidate), None)


def _may_be_prompt(value: Any) -> bool:
    return value is not None and value != "" and not ends_with_an_answer(value)


def _may_be_answer(value: Any) -> bool:
    return value is not None and value != "" and not isinstance(value, Mapping)


def _unknown(what: str, rows: Sequence[Row], names: Mapping[str, Any], candidates: Iterable[str]) -> str:
    spelled = [_spelled(names, candidate) for candidate in candidates]
    empty = [column for column in spelled if column and _is_blank(rows, column)]
    cause = (
        f"holds the {what} in no row: column {empty[0]!r} is empty throughout; if another is meant,"
        if empty
        else f"has no column that is known to hold the {what};"
    )
    return f"{cause} name it with --{what}-field. Its columns are {_listed(rows)}"


def _is_blank(rows: Sequence[Row], column: str) -> bool:
    return all(value_at(row, column) in (None, "", [], {}) for row in rows)


def _listed(rows: Sequence[Row]) -> str:
    """The columns and what is inside them, as options name them."""
    names = dict.fromkeys(name for row in rows[:ROWS_LOOKED_AT] for name in _paths(row))
    return ", ".join(names) or "none"


def _paths(row: Row, depth: int = 3) -> Iterator[str]:
    for name, value in row.items():
        if isinstance(value, Mapping) and value and depth > 1:
            yield from (f"{name}{INSIDE}{inner}" for inner in _paths(value, depth - 1))
        else:
            yield name
