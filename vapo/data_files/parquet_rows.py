"""The process that reads one Parquet file: ``python -m vapo.data_files.parquet_rows PARENT_PID
MEMORY_MIB``, started and killed by :mod:`vapo.data_files.parquet`.

The file is standard input. Its rows leave by standard output as lines of JSON: an object for each
row, then their number; where the file cannot be read any further, a text instead of the number.

A process of its own, because the reader works on whatever was uploaded: damage makes it panic or
abort, and a small file can ask for any amount of memory.

Invariants:
- it dies with its parent, also while it computes;
- it can neither allocate beyond its limit, nor write files, nor leave a core dump;
- nothing but rows and the last word reach standard output, and nothing at all standard error.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from vapo.processes.child import belong_to, limit_resources, silence

ROWS_PER_BATCH = 64
"""Few, so that long texts need little memory."""
LONGEST_CAUSE = 300
PANIC = "called `Result::unwrap()` on an `Err` value: "
MISSING_PACKAGE = 3
"""Exit status where arro3-io is not installed."""


def main(arguments: list[str]) -> int:
    """Read the file; returns the exit status."""
    parent, memory_mib = int(arguments[0]), int(arguments[1])
    belong_to(parent)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        silence()
        try:
            import arro3.io
        except ImportError:
            return MISSING_PACKAGE
        limit_resources(memory_mib)
        count = 0
        try:
            for row in rows(arro3.io.read_parquet, sys.stdin.buffer):
                output.write(f"{as_json(row)}\n")
                count += 1
        except BaseException as error:  # panics of the reader are no Exceptions
            output.write(f"{json.dumps(cause(error))}\n")
        else:
            output.write(f"{count}\n")
    return 0


def rows(read_parquet: Any, file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Columns by name, those without a value left out. Raises whatever the reader does, and
    ValueError for columns of one name.
    """
    for batch in read_parquet(file, batch_size=ROWS_PER_BATCH):
        names = batch.schema.names
        if len(set(names)) < len(names):
            raise ValueError(f"two columns have one name: {', '.join(sorted(names))}")
        columns = [batch.column(position).to_pylist() for position in range(len(names))]
        for values in zip(*columns, strict=True):
            yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def as_json(row: dict[str, Any]) -> str:
    """One line; NaN, by which tables say that there is no value, is left out as null is."""
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=as_text)
    except ValueError:
        kept = {name: value for name, value in finite(row).items() if value is not None}
        return json.dumps(kept, ensure_ascii=False, allow_nan=False, default=as_text)


def finite(value: Any) -> Any:
    """``value`` with null for NaN and text for infinities, at any depth."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def as_text(value: Any) -> str | dict[str, int]:
    """Dates, times and decimals as text; binary columns hold text, too, in files of old writers.
    Of bytes that are no text, such as pictures, only the number is told, as an object, which
    neither a prompt nor an answer can be.
    """
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"bytes": len(value)}


def cause(error: BaseException) -> str:
    """What the client is told."""
    if isinstance(error, MemoryError):
        return "it needs more memory than one upload may use"
    told = str(error).removeprefix(PANIC) or type(error).__name__
    return told[:LONGEST_CAUSE]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
