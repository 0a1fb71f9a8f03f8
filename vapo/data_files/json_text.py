"""Rows of JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from vapo.data_files.errors import DataFileError, RowError
from vapo.data_files.file_signatures import utf8_fault

WRAPPERS = ("data", "rows", "problems", "prompts", "examples", "instances", "train", "test")
"""Keys under which a file that is one object keeps its rows."""
NOT_JSON = (b"NaN", b"Infinity")
BETWEEN_ELEMENTS = re.compile(r"[\s,]*")


def json_rows(content: bytes) -> Iterator[tuple[int, Any]]:
    """Rows of a text that begins with ``{`` or ``[``. A line or an element that is not JSON is
    given as its RowError, so that all wrong rows can be told.

    Raises:
        DataFileError: an array that breaks off, or whose elements cannot be told apart.
    """
    text = content.strip()
    if text.startswith(b"["):
        return _array(text)
    rows = _rows_of_object(text)
    if rows is None:
        return json_lines(content.splitlines())
    return enumerate(rows, start=1 if counts_elements(text) else _first_line(content))


def counts_elements(content: bytes) -> bool:
    """Whether the rows of a text in JSON are elements of an array, not lines."""
    text = content.strip()
    if text.startswith(b"["):
        return True
    rows = _rows_of_object(text) if text.startswith(b"{") else None
    return rows is not None and (len(rows) > 1 or rows[0] != json_value(text))


def json_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank; a RowError where a line is not JSON."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _line_value(number, line)


def json_value(content: bytes) -> Any:
    """One JSON value. Raises ValueError saying what is wrong with it."""
    try:
        return from_json(content.decode("utf-8"), allow_inf_nan=False)
    except UnicodeDecodeError as error:
        raise ValueError(utf8_fault(error)) from None
    except ValueError as error:
        cause = next((f" (it holds {name.decode()})" for name in NOT_JSON if name in content), "")
        raise ValueError(f"is not JSON: {error}{cause}") from None


def _first_line(content: bytes) -> int:
    """The line of the first sign that is not blank."""
    return content.count(b"\n", 0, len(content) - len(content.lstrip())) + 1


def _line_value(number: int, line: bytes) -> Any:
    try:
        return json_value(line)
    except ValueError as error:
        return RowError(number, "", str(error))


def _rows_of_object(text: bytes) -> list[Any] | None:
    """The rows of a text that is one object, alone or around an array of rows; else None."""
    first_line, several, _ = text.partition(b"\n")
    if several and _is_json(first_line):
        return None
    return _unwrapped(json_value(text)) if _is_json(text) else None


def _array(text: bytes) -> Iterator[tuple[int, Any]]:
    try:
        return enumerate(json_value(text), start=1)
    except ValueError as error:
        first_line, several, _ = text.partition(b"\n")
        if several and _is_json(first_line):
            raise DataFileError("holds a JSON array in each line; a row is an object with named columns") from None
        return _elements(text, error)


def _elements(text: bytes, cause: ValueError) -> Iterator[tuple[int, Any]]:
    """Elements of an array of which at least one cannot be read, found by a more lenient reader."""
    try:
        characters = text.decode("utf-8")
    except UnicodeDecodeError:
        raise DataFileError(f"{cause}; the file begins as a JSON array") from None
    decoder, place, number = json.JSONDecoder(), 1, 1
    while True:
        start = BETWEEN_ELEMENTS.match(characters, place).end()  # type: ignore[union-attr]
        if characters[start : start + 1] == "]":
            return
        try:
            _, place = decoder.raw_decode(characters, start)
        except (ValueError, RecursionError):
            raise DataFileError(f"row {number}: {cause}") from None
        yield number, _line_value(number, characters[start:place].encode("utf-8"))
        number += 1


def _unwrapped(value: Any) -> list[Any]:
    lists = [key for key in WRAPPERS if _are_rows(value.get(key))]
    return value[lists[0]] if len(lists) == 1 else [value]


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_json(text: bytes) -> bool:
    try:
        json_value(text)
    except ValueError:
        return False
    return True
