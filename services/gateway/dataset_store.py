"""Uploaded data sets: files in the run's folder.

Invariants:
- a data set appears complete and checked, or not at all (temporary name of its own, fsync, rename,
  fsync of the folder; its description is written last, and by the first of several gateways only);
- who is told that a data set is kept was told so after its rows were on disk; rows that are no
  longer whole on disk are written again when they are uploaded again;
- its rows are kept as normalised JSONL, and their SHA-256 names their content: the same rows
  uploaded again are the same data set.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
import time
import uuid
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from services.gateway.rows.all_or_none import STRICT, Strictness, check_all
from services.gateway.rows.row import Row, parse_row
from vapo.data_files.parquet import ReadingLimits
from vapo.data_files.reader import NumberedRow, rows_of_upload
from vapo.durable import sync
from vapo.service.problem_details import Problem

Split = Literal["train", "eval"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Dataset:
    """Description of one data set."""

    name: str
    split: Split
    rows: int
    sha256: str
    """Of the normalised rows; hex."""
    created_at: float


@dataclass(frozen=True)
class Added:
    """What came of an upload."""

    dataset: Dataset
    is_new: bool
    too_long: int
    """Rows left out for their length."""


class DatasetStore:
    """The data sets of a run, as files under ``directory``. An upload's rows are ``largest_bytes``
    at most, also where they were compressed.
    """

    def __init__(self, directory: Path, check: Callable[[int, Row], None], largest_bytes: int) -> None:
        self._directory, self._check = directory, check
        self._limits = ReadingLimits(content_bytes=largest_bytes)
        self._offsets: dict[str, array[int]] = {}
        self._lock = threading.Lock()
        """Held while files change: uploads and removals of one gateway follow one another."""

    def all(self) -> list[Dataset]:
        """All data sets, by name."""
        found = []
        for path in sorted(self._directory.glob("*.json")):
            with suppress(FileNotFoundError):  # removed meanwhile
                found.append(_described(path))
        return found

    def find(self, name: str) -> Dataset:
        """The data set called ``name``. Raises Problem 404."""
        path = self._description(_checked_name(name))
        try:
            return _described(path)
        except FileNotFoundError:
            raise Problem(404, f"no data set {name!r}; GET /v1/datasets lists them") from None

    def new_upload(self) -> IO[bytes]:
        """A file without a name to write an upload into: whatever becomes of it, nothing is left
        when it is closed.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._directory)

    def add(self, name: str, split: Split, upload: IO[bytes], strictness: Strictness = STRICT) -> Added:
        """Check an upload and keep it.

        Raises:
            Problem: 422 naming the first wrong rows; 409 when the name holds other rows; 413 or 415
                where a Parquet file cannot be unpacked.
        """
        _checked_name(name)
        with closing(self.rows_of(upload)) as source:
            checked = check_all(source, self._parse, strictness)
        if not checked.rows:
            left = f" ({checked.too_long} too long ones were left out)" if checked.too_long else ""
            raise Problem(422, f"the data set holds no rows{left}")
        lines = b"".join(row.model_dump_json(exclude_defaults=True).encode() + b"\n" for row in checked.rows)
        dataset = Dataset(name, split, len(checked.rows), hashlib.sha256(lines).hexdigest(), time.time())
        return Added(*self._keep(dataset, lines), checked.too_long)

    def rows_of(self, upload: IO[bytes]) -> Generator[NumberedRow, None, None]:
        """Undecoded rows of an upload. Raises DataFileError."""
        return rows_of_upload(upload, self._limits)

    def remove(self, name: str) -> None:
        """Forget a data set; tasks already queued from it stay. Raises Problem 404."""
        with self._lock:
            dataset = self.find(name)
            self._description(name).unlink(missing_ok=True)
            self._rows(dataset).unlink(missing_ok=True)
            sync(self._directory)

    def read(self, dataset: Dataset, numbers: Iterable[int]) -> list[Row]:
        """Rows by number."""
        with self._rows(dataset).open("rb") as stream:
            offsets = self._index(dataset, stream)
            return [_read_at(stream, offsets[number]) for number in numbers]

    def _parse(self, number: int, value: Any) -> Row:
        row = parse_row(number, value)
        self._check(number, row)
        return row

    def _keep(self, dataset: Dataset, lines: bytes) -> tuple[Dataset, bool]:
        """The data set as it is kept, and whether it is new. Raises Problem 409."""
        with self._lock:
            known = self._known(dataset)
            whole = self._is_whole(dataset)
            if not whole:
                _write(self._rows(dataset), lines)
            if known is not None:
                return known, not whole
            description = json.dumps(asdict(dataset)).encode()
            if _write_first(self._description(dataset.name), description):
                return dataset, True
            return self._known(dataset) or dataset, False  # another gateway was first

    def _is_whole(self, dataset: Dataset) -> bool:
        try:
            with self._rows(dataset).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == dataset.sha256
        except FileNotFoundError:
            return False

    def _known(self, dataset: Dataset) -> Dataset | None:
        if not self._description(dataset.name).exists():
            return None
        known = self.find(dataset.name)
        if (known.sha256, known.split) != (dataset.sha256, dataset.split):
            raise Problem(
                409,
                f"data set {dataset.name!r} exists with other rows (split {known.split}, "
                f"{known.rows} rows); remove it (vapo datasets rm {dataset.name}), or choose "
                "another name",
            )
        return known

    def _index(self, dataset: Dataset, stream: IO[bytes]) -> array[int]:
        if dataset.sha256 not in self._offsets:
            offsets, position = array("Q"), 0
            for line in stream:
                offsets.append(position)
                position += len(line)
            self._offsets[dataset.sha256] = offsets
        return self._offsets[dataset.sha256]

    def _description(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    def _rows(self, dataset: Dataset) -> Path:
        return self._directory / f"{dataset.name}.{dataset.sha256[:16]}.jsonl"


def _described(path: Path) -> Dataset:
    return Dataset(**json.loads(path.read_text("utf-8")))


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise Problem(422, f"data set name {name!r}: use 1 to 64 letters, digits, '-' or '_'")
    return name


def _read_at(stream: IO[bytes], offset: int) -> Row:
    stream.seek(offset)
    return Row.model_validate_json(stream.readline())


def _write(path: Path, data: bytes) -> None:
    """A file that is there with all of ``data``, or not at all; an older one is replaced."""
    with _complete(path, data) as temporary:
        temporary.replace(path)


def _write_first(path: Path, data: bytes) -> bool:
    """As :func:`_write`, but only where no such file is there; returns whether it was written."""
    with _complete(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            temporary.replace(path)
    return True


@contextmanager
def _complete(path: Path, data: bytes) -> Iterator[Path]:
    """A file beside ``path`` that holds ``data`` on disk. Its name is this writer's alone: two
    that write the same rows at once must not cut each other's file.
    """
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
