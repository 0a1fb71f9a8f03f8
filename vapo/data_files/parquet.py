"""Rows of a Parquet file, read by a process of its own (:mod:`vapo.data_files.parquet_rows`).

Invariants:
- whatever the file holds, reading it ends in time, needs bounded memory here and there, and gives
  all its rows or a DataFileError;
- the process has ended and is collected when the iterator is closed or exhausted;
- its environment holds no secret.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pydantic_core import from_json

from vapo.data_files.errors import DataFileError, RowError
from vapo.data_files.parquet_rows import MISSING_PACKAGE
from vapo.processes.child import environment_without_secrets
from vapo.processes.python_module import module_command

READER = tuple(module_command("vapo.data_files.parquet_rows"))
PIPE_BYTES = 2**16
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ReadingLimits:
    """What reading one file may cost."""

    content_bytes: int
    """Of all rows together, as lines of JSON: a small file can hold one row a billion times."""
    seconds: float = 300.0
    """Checking the rows included."""
    memory_mib: int = 1024
    """Address space of the reading process."""


def parquet_rows(upload: IO[bytes], limits: ReadingLimits) -> Generator[tuple[int, Any], None, None]:
    """Row number from 1, and columns; columns without a value are left out. A row that is nested
    too deeply is given as its RowError. Close it when done.

    Raises:
        DataFileError: 422 when the file is damaged or reaches a limit, 413 when its rows are too
            large together, 415 when arro3-io is not installed.
    """
    upload.flush()
    os.lseek(upload.fileno(), 0, os.SEEK_SET)  # what was buffered here is not the other process's
    process = subprocess.Popen(
        [*READER, str(os.getpid()), str(limits.memory_mib)],
        stdin=upload.fileno(),
        stdout=subprocess.PIPE,
        env=environment_without_secrets(_ROOT),
        cwd=_ROOT,
        bufsize=0,
    )
    try:
        yield from _rows(process, limits)
    finally:
        process.kill()
        process.wait()
        cast(IO[bytes], process.stdout).close()


def _rows(process: subprocess.Popen[bytes], limits: ReadingLimits) -> Iterator[tuple[int, Any]]:
    count = 0
    for line in _lines(cast(IO[bytes], process.stdout).fileno(), limits):
        message = _decoded(count + 1, line)
        if isinstance(message, dict | RowError):
            count += 1
            yield count, message
        elif message == count:
            return
        else:
            raise _unreadable(count, str(message))
    raise _ended(process.wait(timeout=limits.seconds), count, limits)


def _lines(descriptor: int, limits: ReadingLimits) -> Iterator[bytes]:
    """Complete lines until the pipe ends. Raises DataFileError at a limit."""
    deadline, received, rest = time.monotonic() + limits.seconds, 0, bytearray()
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while chunk := _chunk(descriptor, poller, deadline, limits):
        received += len(chunk)
        if received > limits.content_bytes:
            raise DataFileError(
                f"the Parquet file unpacks to more than {limits.content_bytes} bytes of rows "
                "(gateway.max_dataset_bytes); upload it in parts",
                413,
            )
        rest += chunk
        if b"\n" in chunk:
            *lines, last = rest.split(b"\n")
            yield from map(bytes, lines)
            rest = last


def _chunk(descriptor: int, poller: select.poll, deadline: float, limits: ReadingLimits) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0 or not poller.poll(left * 1000):
        raise DataFileError(
            f"the Parquet file took longer than {limits.seconds:g} s to read; upload it in parts, or as JSONL"
        )
    return os.read(descriptor, PIPE_BYTES)


def _decoded(row: int, line: bytes) -> Any:
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return RowError(row, "", f"cannot be kept as JSON: {error}")


def _unreadable(count: int, cause: str) -> DataFileError:
    return DataFileError(f"the Parquet file cannot be read beyond its first {count} rows: {cause}")


def _ended(status: int, count: int, limits: ReadingLimits) -> DataFileError:
    """What it means that the process ended without its last word."""
    if status == MISSING_PACKAGE:
        return DataFileError(
            "Parquet needs the package arro3-io (pip install arro3-io); install it where the file "
            "is read, or send JSON Lines",
            415,
        )
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return _unreadable(
        count,
        f"its reader ended with {how}; the file is damaged, or reading it needs more than {limits.memory_mib} MiB",
    )
