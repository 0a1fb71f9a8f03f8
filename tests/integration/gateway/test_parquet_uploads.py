"""Parquet files as other writers make them, damaged ones and hostile ones, read by the gateway."""

from __future__ import annotations

import datetime
import io
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psutil
import pyarrow
import pyarrow.parquet
import pytest

from tests.support.running_gateway import RunningGateway
from vapo.data_files import parquet
from vapo.data_files.errors import DataFileError
from vapo.data_files.parquet import ReadingLimits, parquet_rows

CODECS = ("snappy", "zstd", "gzip", "lz4", "brotli", "none")
AMPLE = ReadingLimits(content_bytes=2**26, seconds=120)
DEADLINE_SECONDS = 60
FLIPS_PER_CODEC = 8
CUTS = 9


def problems(count: int) -> list[dict[str, Any]]:
    """Rows as RL data sets hold them: chat messages, and nested columns about the source."""
    return [
        {
            "id": f"row-{number}",
            "messages": [
                {"role": "system", "content": "Answer with a number. 回答用数字。"},
                {"role": "user", "content": f"{number} + 1 = ?\nTake\tcare." * (number % 3 + 1)},
            ],
            "answer": str(number + 1),
            "metadata": {"source": "sums", "index": number, "tags": ["a", "b"][: number % 3]},
        }
        for number in range(count)
    ]


def file_of(table: pyarrow.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream, **options)
    return stream.getvalue()


def read(content: bytes, limits: ReadingLimits = AMPLE) -> list[dict[str, Any]]:
    """All rows. Raises what reading them raises."""
    with tempfile.TemporaryFile() as upload:
        upload.write(content)
        upload.seek(0)
        numbered = list(parquet_rows(upload, limits))
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    return [row for _, row in numbered]


def readers() -> list[psutil.Process]:
    """Processes of ours, those that have ended and were not collected included."""
    return psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def _nothing_is_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    others = {process.pid for process in readers()} if "gateway" not in request.fixturenames else ()
    yield
    if "gateway" not in request.fixturenames:
        assert not [process for process in readers() if process.pid not in others]


@pytest.mark.parametrize("codec", CODECS)
def test_all_rows_of_a_nested_table_whatever_the_codec(codec: str) -> None:
    rows = problems(1000)
    table = pyarrow.Table.from_pylist(rows)
    assert read(file_of(table, compression=codec, row_group_size=300)) == rows


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_version": "2.0"},
        {"version": "1.0", "use_dictionary": False},
        {"data_page_size": 100, "write_page_index": True, "write_page_checksum": True},
        {"store_schema": False, "use_compliant_nested_type": False},
        {"use_dictionary": False, "column_encoding": {"answer": "DELTA_BYTE_ARRAY"}},
    ],
)
def test_all_rows_whatever_the_layout(options: dict[str, Any]) -> None:
    rows = problems(200)
    assert read(file_of(pyarrow.Table.from_pylist(rows), **options)) == rows


def test_values_json_has_no_form_for_are_text() -> None:
    table = pyarrow.table(
        {
            "prompt": [b"2 + 0.5 = ?", "größer".encode()],
            "answer": [Decimal("2.50"), Decimal("-1.00")],
            "metadata": [{"on": datetime.date(2024, 2, 29), "ratio": 0.1, "big": 2**62}, None],
            "id": pyarrow.array(["a", None]).dictionary_encode(),
        }
    )
    assert read(file_of(table)) == [
        {
            "prompt": "2 + 0.5 = ?",
            "answer": "2.50",
            "metadata": {"on": "2024-02-29", "ratio": 0.1, "big": 2**62},
            "id": "a",
        },
        {"prompt": "größer", "answer": "-1.00"},
    ]


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        (pyarrow.table([["a"], ["b"], ["c"]], names=["a", "b", "a"]), "two columns have one name"),
        (pyarrow.table([["a"], ["b"]], names=["prompt", "prompt"]), "two columns have one name"),
    ],
)
def test_values_that_no_row_can_hold_are_named(table: pyarrow.Table, cause: str) -> None:
    with pytest.raises(DataFileError, match=cause) as caught:
        read(file_of(table))
    assert caught.value.status == 422


def test_bytes_that_are_no_text_are_told_by_their_number() -> None:
    table = pyarrow.table({"prompt": [b"\xff\xfe", b"1"], "picture": [b"", b"\x89PNG"]})
    assert read(file_of(table)) == [{"prompt": {"bytes": 2}, "picture": ""}, {"prompt": "1", "picture": {"bytes": 4}}]


def test_nan_is_no_value_and_infinity_a_text() -> None:
    table = pyarrow.table({"answer": [1.5, math.nan, -math.inf], "metadata": [{"x": math.nan}, None, None]})
    assert read(file_of(table)) == [{"answer": 1.5, "metadata": {"x": None}}, {}, {"answer": "-inf"}]


def test_deep_nesting_is_refused_by_row() -> None:
    value: Any = 1
    for _ in range(300):
        value = [value]
    try:
        [row] = read(file_of(pyarrow.table({"metadata": [value]}), store_schema=False))
    except DataFileError as error:
        row = error
    assert isinstance(row, Exception)
    assert any(word in str(row) for word in ("nest", "recursion", "depth"))


def test_a_file_without_rows() -> None:
    assert read(file_of(pyarrow.table({"prompt": pyarrow.array([], pyarrow.string())}))) == []


def refusal_of(content: bytes) -> int | None:
    """Status of the refusal; None when all rows could be read."""
    try:
        read(content)
    except DataFileError as problem:
        return problem.status
    return None


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_file_is_a_problem(codec: str) -> None:
    whole = file_of(pyarrow.Table.from_pylist(problems(500)), compression=codec)
    places = {4, 5, 8, 12, len(whole) - 1, len(whole) - 8, len(whole) - 9}
    seeded = random.Random(codec)
    places |= {seeded.randrange(4, len(whole)) for _ in range(CUTS - len(places))}
    for place in sorted(places):
        with pytest.raises(DataFileError, match="cannot be read") as caught:
            read(whole[:place])
        assert caught.value.status == 422, place


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_file_ends_in_rows_or_a_problem(codec: str) -> None:
    whole = file_of(pyarrow.Table.from_pylist(problems(500)), compression=codec, row_group_size=100)
    seeded, refused = random.Random(codec), 0
    # Half of the damage in the description of the file, where readers trust most.
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for attempt in range(FLIPS_PER_CODEC):
        damaged = bytearray(whole)
        start = footer if attempt % 2 else 4
        for _ in range(seeded.choice((1, 1, 8))):
            damaged[seeded.randrange(start, len(whole) - 4)] ^= 1 << seeded.randrange(8)
        refused += refusal_of(bytes(damaged)) in (413, 422)
    assert refused


def test_one_row_a_million_times_is_too_large() -> None:
    row = pyarrow.array(["What is one and one? " * 20]).dictionary_encode()
    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0]).take([0] * 10**6), row.dictionary)
    content = file_of(pyarrow.table({"prompt": rows}))
    assert len(content) < 100_000
    with pytest.raises(DataFileError, match="unpacks to more than 1000000 bytes") as caught:
        read(content, ReadingLimits(content_bytes=10**6))
    assert caught.value.status == 413


def test_a_value_too_large_for_memory_ends_the_reader_alone() -> None:
    table = pyarrow.table({"prompt": ["x" * (60 * 2**20)]})
    content = file_of(table, compression="zstd", use_dictionary=False, write_statistics=False)
    assert len(content) < 2**20
    with pytest.raises(DataFileError, match=r"memory|100 MiB") as caught:
        read(content, ReadingLimits(content_bytes=2**30, memory_mib=100))
    assert caught.value.status == 422


def replace_reader(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(parquet, "READER", (sys.executable, "-c", program))


@pytest.mark.parametrize(
    ("program", "status", "told"),
    [
        ("import time; time.sleep(600)", 422, "longer than 2 s"),
        ("while True: pass", 422, "longer than 2 s"),
        ("while True: print('{}')", 413, "unpacks to more than"),
        ("while True: print('{', end='')", 413, "unpacks to more than"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 422, "SIGSEGV; the file is"),
        ("import os; print('{}', flush=True); os.abort()", 422, "its first 1 rows.*SIGABRT"),
        ("print('{}')", 422, "its first 1 rows.*status 0"),
        ("print('{}'); print(7)", 422, "its first 1 rows: 7"),
        ("raise SystemExit(3)", 415, "arro3-io"),
    ],
)
def test_a_reader_that_does_not_do_its_work_is_ended(
    monkeypatch: pytest.MonkeyPatch, program: str, status: int, told: str
) -> None:
    replace_reader(monkeypatch, program)
    seconds = 2.0 if "longer" in told else 60.0
    with pytest.raises(DataFileError, match=told) as caught:
        read(b"PAR1", ReadingLimits(content_bytes=10**6, seconds=seconds))
    assert caught.value.status == status


def test_rows_that_are_not_wanted_any_more_end_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_reader(monkeypatch, "while True: print('{}')")
    before = len(readers())
    with tempfile.TemporaryFile() as upload:
        rows = parquet_rows(upload, AMPLE)
        assert next(iter(rows)) == (1, {})
        assert len(readers()) == before + 1
        rows.close()  # type: ignore[attr-defined]
    assert len(readers()) == before


def test_the_reader_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAPO__SECURITY__USER_TOKEN", "do-not-tell")
    replace_reader(monkeypatch, "import json, os; print(json.dumps(dict(os.environ))); print(1)")
    (environment,) = read(b"PAR1")
    assert "PYTHONPATH" in environment
    assert "do-not-tell" not in str(environment)


def upload(gateway: RunningGateway, content: bytes) -> Any:
    return gateway.client.post("/v1/datasets", params={"name": "set"}, content=content)


def test_an_uploaded_table_becomes_a_data_set(gateway: RunningGateway) -> None:
    rows = [{**row, "prompt": f"{number}+1=?"} for number, row in enumerate(problems(300))]
    table = pyarrow.Table.from_pylist(rows).drop_columns("messages")
    reply = upload(gateway, file_of(table, compression="zstd"))
    assert (reply.status_code, reply.json()["rows"]) == (201, 300), reply.text
    dataset = gateway.gateway.datasets.find("set")
    kept = gateway.gateway.datasets.read(dataset, range(300))
    assert [row.model_dump(exclude_defaults=True) for row in kept] == table.to_pylist()


def test_a_wrong_row_is_named_and_nothing_is_kept(gateway: RunningGateway) -> None:
    reply = upload(gateway, file_of(pyarrow.table({"prompt": ["1", "2"], "answer": ["1", None]})))
    assert (reply.status_code, reply.json()["errors"][0]["row"]) == (422, 2)
    reply = upload(gateway, file_of(pyarrow.table({"prompt": ["1"]}))[:-30])
    assert reply.status_code == 422
    assert "Parquet file cannot be read" in reply.json()["detail"]
    assert gateway.client.get("/v1/datasets").json() == {"datasets": []}


def test_the_gateway_answers_while_a_file_is_read(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()
    replace_reader(monkeypatch, "import sys; sys.stdin.buffer.readline(); import time; time.sleep(600)")
    monkeypatch.setattr(gateway.gateway.datasets, "_limits", ReadingLimits(10**6, seconds=5))
    replies: list[Any] = []

    def send() -> None:
        started.set()
        replies.append(upload(gateway, b"PAR1"))

    sender = threading.Thread(target=send)
    sender.start()
    started.wait(DEADLINE_SECONDS)
    answered = 0
    while sender.is_alive() and answered < 3:
        assert gateway.client.get("/v1/datasets").status_code == 200
        answered += 1
        time.sleep(0.1)
    sender.join(DEADLINE_SECONDS)
    assert answered == 3, "the upload was over before other requests were answered"
    assert replies[0].status_code == 422
    assert "longer than 5 s" in replies[0].json()["detail"]
