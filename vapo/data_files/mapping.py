"""From a row in the words of whoever made the file to a problem as the gateway takes it.

Invariants:
- no column is lost: what is neither prompt, answer nor another field of a problem goes into its
  metadata, unless it was named to be left out;
- what is wrong with a row is told by its number and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vapo.data_files.columns import value_at, without
from vapo.data_files.conversation import appended, ends_with_an_answer
from vapo.data_files.errors import RowError
from vapo.data_files.layouts import OWN_PROMPTS, FileLayout
from vapo.data_files.reference_answers import after_mark, answer_text, last_box

FURTHER_FIELDS = ("raw", "verifier", "samples", "sampling")
"""Fields of a problem that a file may give in columns of these names."""
EVERY_OTHER_COLUMN = "*"
LARGEST_STORED, SMALLEST_STORED = 2**64 - 1, -(2**63)
END_OF_TEXT = 80


@dataclass(frozen=True)
class ColumnOptions:
    """What a person said about the file's columns."""

    prompt_field: str | None = None
    answer_field: str | None = None
    answer_pattern: re.Pattern[str] | None = None
    id_field: str | None = None
    append: str = ""
    ignored: frozenset[str] = frozenset()
    """Columns left out; ``*`` stands for all that are not used otherwise."""


def problem_of(number: int, row: Any, layout: FileLayout, options: ColumnOptions) -> dict[str, Any]:
    """The problem of one row. Raises RowError."""
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, Mapping):
        raise RowError(number, "", f"is {type(row).__name__}, not an object with named columns")
    rest = left_over(row, options.ignored)
    column = _prompt_column(number, rest, layout)
    problem = _prompt(number, column, value_at(rest, column), options.append)
    problem["answer"] = _answer(number, rest, layout, options.answer_pattern)
    rest = without(without(rest, column), layout.answer)
    return _with_id(number, rest, options, _with_others(number, rest, problem, options))


def left_over(row: Mapping[str, Any], ignored: Iterable[str]) -> dict[str, Any]:
    """``row`` without the columns, or parts of columns, that were named to be left out."""
    rest = dict(row)
    for column in ignored:
        rest = without(rest, column)
    return rest


def _prompt_column(number: int, row: Mapping[str, Any], layout: FileLayout) -> str:
    if not layout.own:
        return layout.prompt
    given = [name for name in OWN_PROMPTS if row.get(name) not in (None, [])]
    given = [name for name in given if not ends_with_an_answer(row[name])] or given
    if len(given) > 1:
        raise RowError(number, given[0], f"the row has {' and '.join(given)}; name one with --prompt-field")
    return given[0] if given else layout.prompt


def _prompt(number: int, column: str, value: Any, append: str) -> dict[str, Any]:
    if value is None:
        raise RowError(number, column, "has no value; every problem needs a prompt")
    if column == "prompt_token_ids":
        if append:
            raise RowError(number, column, "are token ids, to which --append cannot add a text")
        return {"prompt_token_ids": value}
    if isinstance(value, str):
        if not value.strip():
            raise RowError(number, column, "is empty; every problem needs a prompt")
        return {"prompt": value + append}
    if not isinstance(value, list):
        raise RowError(number, column, f"is {type(value).__name__}, neither a text nor a list of messages")
    try:
        return {"messages": appended(value, append) if append else value}
    except ValueError as error:
        raise RowError(number, column, str(error)) from None


def _answer(number: int, row: Mapping[str, Any], layout: FileLayout, pattern: re.Pattern[str] | None) -> str:
    try:
        answer = answer_text(value_at(row, layout.answer))
        _check_answer(answer, layout.answer, row)
        return _matched(answer, pattern) if pattern else _read(answer, layout.reading)
    except ValueError as error:
        raise RowError(number, layout.answer, str(error)) from None


def _check_answer(answer: Any, column: str, row: Mapping[str, Any]) -> None:
    if answer is None:
        raise ValueError(f"has no value; the row has {', '.join(sorted(row)) or 'no columns'}")
    if isinstance(answer, Mapping):
        parts = ", ".join(f"{column}.{name}" for name in answer)
        raise ValueError(f"is an object; name the part that is the answer: {parts or 'it is empty'}")
    if not isinstance(answer, str):
        raise ValueError(f"is {str(answer).lower()}; write the reference answer as a text")
    if not answer.strip():
        raise ValueError("is empty; every problem needs a reference answer")


def _read(answer: str, reading: str) -> str:
    if reading == "mark":
        found: str | None = after_mark(answer)
    else:
        found = last_box(answer) if reading == "box" else answer
    if not found:
        raise ValueError(
            f"holds no answer where the others have one: ...{answer[-END_OF_TEXT:]!r}; name the "
            "answer's column with --answer-field, or its place with --answer-pattern"
        )
    return found


def _matched(text: str, pattern: re.Pattern[str]) -> str:
    found = [match.group(1) for match in pattern.finditer(text)]
    if not found or not (found[-1] or "").strip():
        raise ValueError(f"--answer-pattern {pattern.pattern!r} with its group does not match {text[-END_OF_TEXT:]!r}")
    return found[-1].strip()


def _with_others(
    number: int, rest: Mapping[str, Any], problem: dict[str, Any], options: ColumnOptions
) -> dict[str, Any]:
    given = {name: value for name, value in rest.items() if value is not None}
    own = {name: given.pop(name) for name in FURTHER_FIELDS if name in given}
    given.pop(options.id_field or "id", None)
    stated = given.pop("metadata", {})
    metadata = dict(stated) if isinstance(stated, Mapping) else {"metadata": stated}
    if EVERY_OTHER_COLUMN not in options.ignored:
        metadata = _together(number, given, metadata)
    return {**problem, **own, **({"metadata": storable(metadata)} if metadata else {})}


def _together(number: int, columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    for name in columns:
        if name in metadata and metadata[name] != columns[name]:
            raise RowError(
                number, name, "is a column and, with another value, in metadata; --ignore leaves the column out"
            )
    return {**columns, **metadata}


def _with_id(number: int, row: Mapping[str, Any], options: ColumnOptions, problem: dict[str, Any]) -> dict[str, Any]:
    column = options.id_field or "id"
    value = value_at(row, column)
    if value is None or value == "":
        return problem
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(number, column, "is neither a text nor a number; an id is one of them")
    return {"id": str(answer_text(value)), **problem}


def storable(value: Any) -> Any:
    """``value`` as JSON and the ledger can hold it: numbers beyond 64 bits as text."""
    if isinstance(value, Mapping):
        return {str(name): storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, int) and not SMALLEST_STORED <= value <= LARGEST_STORED:
        return str(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
