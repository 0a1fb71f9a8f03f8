"""Rows of JSON: one object a line, or an array of objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from vapo.data_files.content import utf8_fault
from vapo.data_files.errors import DataFileError, RowError

WRAPPERS = ("data", "rows", "problems", "prompts", "examples", "instances", "train", "test")
"""Keys under which a file that is one object keeps its rows."""
NOT_JSON = (b"NaN", b"Infinity")


def json_rows(content: bytes) -> Iterator[tuple[int, Any]]:
    """Rows of a text that begins with ``{`` or ``[``. A line that is not JSON is given as its
    RowError, so that all wrong lines can be told.

    Raises:
        DataFileError: an array that is not JSON.
    """
    rows = _whole(content)
    return json_lines(content.splitlines()) if rows is None else enumerate(rows, start=1)


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


def _line_value(number: int, line: bytes) -> Any:
    try:
        return json_value(line)
    except ValueError as error:
        return RowError(number, "", str(error))


def _whole(content: bytes) -> list[Any] | None:
    """The rows of a text that is one array or one object around an array, else None."""
    text = content.strip()
    first_line = text.partition(b"\n")[0]
    if text.startswith(b"["):
        return _array(text, first_line)
    if first_line is not text and _is_json(first_line):
        return None if first_line != text else _unwrapped(json_value(text))
    return _unwrapped(json_value(text)) if _is_json(text) else None


def _array(text: bytes, first_line: bytes) -> list[Any]:
    try:
        return json_value(text)
    except ValueError as error:
        if first_line != text and _is_json(first_line):
            raise DataFileError(
                "holds a JSON array in each line; a row is an object with named columns"
            ) from None
        raise DataFileError(f"{error}; the file begins as a JSON array") from None


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
