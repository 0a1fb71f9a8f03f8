"""Rows of a Parquet file, with pyarrow where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from vapo.problems import Problem

MAGIC = b"PAR1"


def is_parquet(upload: IO[bytes]) -> bool:
    """Whether the file starts as Parquet does; the position is left at the start."""
    magic = upload.read(len(MAGIC))
    upload.seek(0)
    return magic == MAGIC


def parquet_rows(upload: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number and columns; columns without a value are left out.

    Raises:
        Problem: 422 when the file is damaged, 415 when pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Problem(
            415, "Parquet needs the package pyarrow in the gateway; install it or upload JSONL"
        ) from None
    try:
        index = 0
        for batch in pyarrow.parquet.ParquetFile(upload).iter_batches():
            for row in batch.to_pylist():
                yield index, {name: value for name, value in row.items() if value is not None}
                index += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise Problem(422, f"the Parquet file cannot be read: {error}") from None
