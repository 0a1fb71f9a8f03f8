"""Checking many rows: all of them, or none and a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from services.gateway.rows import RowError
from vapo.problems import Problem

ERRORS_SHOWN = 50
Checked = TypeVar("Checked")


def check_all(
    rows: Iterable[tuple[int, Any]], check: Callable[[int, Any], Checked]
) -> list[Checked]:
    """``check`` of every row.

    Raises:
        Problem: 422 naming the first wrong rows; nothing of the request was accepted.
    """
    errors: list[RowError] = []
    checked: list[Checked] = []
    try:
        for index, row in rows:
            try:
                checked.append(check(index, row))
            except RowError as error:
                errors.append(error)
            if len(errors) >= ERRORS_SHOWN:
                break
    except RowError as error:  # the source itself cannot be read any further
        errors.append(error)
    if errors:
        raise refusal(errors)
    return checked


def refusal(errors: list[RowError]) -> Problem:
    """The problem document of wrong rows."""
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return Problem(
        422,
        f"{errors[0]}{more}; nothing of the request was accepted",
        errors=[error.document() for error in errors],
    )
