"""What is wrong with the rows of a file, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS_SHOWN = 10
"""Without --errors."""
MOST_ROWS_COUNTED = 10_000
"""How many wrong rows the gateway is asked for; beyond them their number is not known."""
ALL_ROWS = 1_000_000


def told(unit: str, errors: Sequence[Mapping[str, Any]], shown: int | None = ROWS_SHOWN, left_out: bool = False) -> str:
    """One line on how many rows are wrong, then one for each of the first ``shown`` (None: all),
    and how to leave them out, unless they are ``left_out`` already.

    Args:
        unit: ``line`` or ``row``, what ``row`` of an error counts.
        errors: documents with ``row``, ``field`` and ``message``.
    """
    least = "at least " if len(errors) >= MOST_ROWS_COUNTED and shown is not None else ""
    many = f"{least}{len(errors)} {unit}s are" if len(errors) > 1 else f"1 {unit} is"
    lines = [f"{many} {'left out' if left_out else 'refused'}", *(f"  {line(unit, error)}" for error in errors[:shown])]
    if shown is not None and len(errors) > shown:
        lines.append(f"  and {len(errors) - shown} more; --errors lists all")
    if not left_out:
        lines.append(f"  {skip_hint(errors)}")
    return "\n".join(lines)


def skip_hint(errors: Sequence[Mapping[str, Any]]) -> str:
    """How to send the other rows."""
    if all(error.get("too_long") for error in errors):
        return "--skip-too-long leaves them out"
    return "--skip-wrong leaves them out"


def line(unit: str, error: Mapping[str, Any]) -> str:
    """One wrong row."""
    field = f", {error['field']}" if error["field"] else ""
    return f"{unit} {error['row']}{field}: {error['message']}"


def in_file(errors: Sequence[Mapping[str, Any]], numbers: Sequence[int], start: int = 0) -> list[dict[str, Any]]:
    """The gateway's errors, whose rows count in what was sent to it, with the file's row numbers.

    Args:
        numbers: number in the file of every problem.
        start: position of the first one that was sent.
    """
    return [{**error, "row": numbers[start + error["row"] - 1]} for error in errors]
