"""Rows of CSV: a header, then one record a row; comma, semicolon or tab between the cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from vapo.data_files.errors import DataFileError, RowError
from vapo.data_files.file_signatures import utf8_fault

DELIMITERS = (",", "\t", ";")
LARGEST_CELL = 2**31 - 1
NEVER_IN_A_HEADER = frozenset('{}[]:"\\')


def has_header(content: bytes) -> bool:
    """Whether the first line reads as names of at least two columns."""
    line = content.lstrip().partition(b"\n")[0].decode("utf-8", "replace").strip()
    names = [name.strip().strip('"') for name in line.split(_delimiter(line))]
    named = len(names) > 1 and any(names)
    return named and not any(NEVER_IN_A_HEADER & set(name) for name in names)


def csv_rows(content: bytes) -> Iterator[tuple[int, Any]]:
    """The line on which each record begins (the header's is 1), and its cells by column; empty
    cells are left out. A record of another length is given as its RowError.

    Raises:
        DataFileError: not UTF-8, a column with another's name, or broken quotes.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataFileError(f"line {line} {utf8_fault(error)}; save it as UTF-8") from None
    csv.field_size_limit(LARGEST_CELL)
    delimiter = _delimiter(text.lstrip().partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from _records(reader)
    except csv.Error as error:
        raise DataFileError(f"line {reader.line_num} is not CSV: {error}") from None


def _records(reader: Any) -> Iterator[tuple[int, Any]]:
    header, line = None, 1
    for cells in reader:
        if cells and header is None:
            header = _checked(_named([cell.strip() for cell in cells]))
        elif cells and header is not None:
            yield line, _row(line, header, cells)
        line = reader.line_num + 1


def _named(header: list[str]) -> list[str]:
    """Names of all columns; those without one, such as the index that pandas writes, are numbered.
    A first line without any name is no header.
    """
    if not any(header):
        return header
    return [name or f"column_{place}" for place, name in enumerate(header, start=1)]


def _checked(header: list[str]) -> list[str]:
    if not all(header) or len(set(header)) < len(header):
        raise DataFileError(f"its first line must name each column once; it has {', '.join(map(repr, header))}")
    return header


def _row(line: int, header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return RowError(line, "", f"has {len(cells)} cells, but the header names {len(header)} columns")
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)
