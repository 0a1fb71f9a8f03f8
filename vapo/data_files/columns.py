"""Columns of a row by name: also inside a column (``extra_info.index``), also several as one text.

Invariant: a column whose own name holds the sign is found before the sign is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INSIDE, TOGETHER = ".", "+"


def value_at(row: Mapping[str, Any], column: str) -> Any:
    """The value of ``column``, None where there is none.

    ``a.b`` is the part ``b`` of column ``a`` (of a list: its element, from 0); ``a+b`` the texts of
    both with a blank between.
    """
    if column in row:
        return row[column]
    if TOGETHER in column:
        texts = [value_at(row, part.strip()) for part in column.split(TOGETHER)]
        is_text = all(isinstance(text, str) for text in texts)
        return " ".join(text.strip() for text in texts) if is_text else None
    return _inside(row, column)


def without(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    """``row`` without ``column``; what stands beside a part of a column stays."""
    if column in row:
        return {name: value for name, value in row.items() if name != column}
    if TOGETHER in column:
        for part in column.split(TOGETHER):
            row = without(row, part.strip())
        return dict(row)
    first, sign, rest = column.partition(INSIDE)
    outer = row.get(first)
    if not sign or not isinstance(outer, Mapping):
        return dict(row)
    inner = without(outer, rest)
    return {**row, first: inner} if inner else without(row, first)


def _inside(value: Any, path: str) -> Any:
    for part in path.split(INSIDE):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
