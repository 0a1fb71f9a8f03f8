"""Text in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """`rows` as lines with aligned columns, those numbered in `right` to the right; no line ends in
    spaces.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        GAP.join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def figure(value: Any, form: str) -> str:
    """A number in a format of Python's, zero without a minus; '-' when there is none."""
    if not isinstance(value, (int, float)):
        return "-"
    text = f"{value:{form}}"
    if text.strip("+-0.%"):
        return text
    return text.replace("-", "+" if form.startswith("+") else "")
