"""All rows of a file, whatever its form: JSON Lines, a JSON array, CSV or Parquet."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from vapo.data_files.csv_text import csv_rows, has_header
from vapo.data_files.errors import DataFileError
from vapo.data_files.file_signatures import GZIP_MAGIC, PARQUET_MAGIC, plain_text
from vapo.data_files.json_text import counts_elements, json_lines, json_rows
from vapo.data_files.parquet import ReadingLimits, parquet_rows

NumberedRow = tuple[int, Any]
"""A row's number and its value: a mapping of columns, whatever else JSON can hold, or the RowError
of a row that cannot be read."""
CSV_ENDINGS, JSON_ENDINGS = (".csv", ".tsv"), (".jsonl", ".ndjson", ".json")
AMPLE = ReadingLimits(content_bytes=2**36, seconds=3600, memory_mib=16 * 1024)
"""For a file of one's own."""


def read_file(file: Path) -> list[NumberedRow]:
    """All rows of a file on this machine; also of one compressed with gzip.

    Raises:
        DataFileError: it cannot be read.
    """
    if file.is_dir():
        raise DataFileError("is a folder; name one file in it")
    try:
        with file.open("rb") as stream:
            return _read(stream, file)
    except (OSError, EOFError, zlib.error) as error:
        cause = getattr(error, "strerror", None) or error
        raise DataFileError(f"cannot be read: {cause}") from None


def rows_of_upload(upload: IO[bytes], limits: ReadingLimits) -> Generator[NumberedRow, None, None]:
    """Rows of an open file, read within ``limits``. Close it when done.

    Raises:
        DataFileError: it cannot be read as rows.
    """
    upload.seek(0)
    if _starts_with(upload, PARQUET_MAGIC):
        yield from parquet_rows(upload, limits)
    else:
        yield from rows_of_text(upload.read())


def rows_of_text(content: bytes, ending: str = "") -> Iterator[NumberedRow]:
    """Rows of JSON or CSV; ``ending`` of the file's name, for what the content leaves open.

    Raises:
        DataFileError: it cannot be read as rows.
    """
    content = plain_text(content)
    start = content.lstrip()[:1]
    if start in (b"{", b"["):
        return json_rows(content)
    if start and (ending in CSV_ENDINGS or has_header(content)):
        return csv_rows(content)
    return json_lines(content.splitlines())


def unit_of(file: Path) -> str:
    """What a row's number counts in this file, as messages call it: ``line`` or ``row``."""
    try:
        with file.open("rb") as stream:
            if _starts_with(stream, PARQUET_MAGIC):
                return "row"
            return "row" if counts_elements(plain_text(_unpacked(stream.read()))) else "line"
    except (OSError, EOFError, zlib.error, DataFileError):
        return "row"


def _read(stream: IO[bytes], file: Path) -> list[NumberedRow]:
    if _starts_with(stream, PARQUET_MAGIC):
        with closing(parquet_rows(stream, AMPLE)) as rows:
            return list(rows)
    content = stream.read()
    name = file.stem if content.startswith(GZIP_MAGIC) else file.name
    return list(rows_of_text(_unpacked(content), Path(name).suffix.lower()))


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content


def _starts_with(stream: IO[bytes], magic: bytes) -> bool:
    start = stream.read(len(magic))
    stream.seek(0)
    return start == magic
