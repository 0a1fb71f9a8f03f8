"""Checking many rows: all of them, or none and a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vapo.data_files.errors import DataFileError, RowError
from vapo.service.problem_details import Problem

ERRORS_SHOWN = 50
Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Strictness:
    """What happens to wrong rows."""

    skip_too_long: bool = False
    """Leave out, and count, rows that do not fit the model's context."""
    max_errors: int = ERRORS_SHOWN
    """List at most this many wrong rows."""


STRICT = Strictness()


@dataclass(frozen=True)
class CheckedRows(Generic[Checked]):
    """What came of rows that were all looked at."""

    rows: list[Checked]
    errors: list[RowError]
    """Of the rows refused; at most as many as asked for, then the rows after them are not looked
    at."""
    too_long: int
    """Rows left out for their length, on demand."""


def look_at_all(
    rows: Iterable[tuple[int, Any]], check: Callable[[int, Any], Checked], strictness: Strictness = STRICT
) -> CheckedRows[Checked]:
    """``check`` of every row. Raises Problem when they cannot be read."""
    errors: list[RowError] = []
    checked: list[Checked] = []
    too_long = 0
    try:
        for number, row in rows:
            try:
                checked.append(check(number, row))
            except RowError as error:
                if error.too_long and strictness.skip_too_long:
                    too_long += 1
                else:
                    errors.append(error)
            if len(errors) >= strictness.max_errors:
                break
    except DataFileError as error:
        raise Problem(error.status, f"the data set: {error}") from None
    return CheckedRows(checked, errors, too_long)


def check_all(
    rows: Iterable[tuple[int, Any]], check: Callable[[int, Any], Checked], strictness: Strictness = STRICT
) -> CheckedRows[Checked]:
    """``check`` of every row, none of them wrong.

    Raises:
        Problem: 422 naming the first wrong rows; nothing of the request was accepted.
    """
    looked_at = look_at_all(rows, check, strictness)
    if looked_at.errors:
        raise refusal(looked_at.errors)
    return looked_at


def refusal(errors: list[RowError]) -> Problem:
    """The problem document of wrong rows."""
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return Problem(
        422, f"{errors[0]}{more}; nothing of the request was accepted", errors=[error.document() for error in errors]
    )
