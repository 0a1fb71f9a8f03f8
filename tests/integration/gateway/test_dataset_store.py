"""What is kept of uploads that are interrupted, that meet, or that were damaged on disk."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.gateway import dataset_store
from services.gateway.dataset_store import DatasetStore
from tests.integration.gateway.test_gateway_datasets import DEADLINE_SECONDS, rows, upload
from tests.support.running_gateway import RunningGateway
from tests.support.waiting import wait_until
from vapo.service.problem_details import Problem

WRITERS = 8


def store_in(folder: Path) -> DatasetStore:
    folder.mkdir(exist_ok=True)
    return DatasetStore(folder, lambda number, row: None, 2**20)


def content(writer: int) -> bytes:
    lines = [json.dumps({"prompt": f"{writer}+{number}=?", "answer": "1"}) for number in range(50)]
    return "\n".join(lines).encode()


def add(store: DatasetStore, writer: int, barrier: threading.Barrier) -> tuple[int, int]:
    """The status a client would get, and the writer."""
    barrier.wait(30)
    try:
        return (201 if store.add("set", "train", io.BytesIO(content(writer))).is_new else 200), writer
    except Problem as problem:
        return problem.status, writer


def one_after_all_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing takes a moment, so that uploads of one time meet."""
    real = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.02)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)


@pytest.mark.parametrize(("gateways", "links"), [(1, True), (3, True), (1, False)])
def test_of_different_uploads_of_one_name_the_one_that_is_kept_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateways: int, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(dataset_store.os, "link", _no_links)
    one_after_all_began(monkeypatch)
    stores, barrier = [store_in(tmp_path) for _ in range(gateways)], threading.Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        told = list(pool.map(lambda n: add(stores[n % gateways], n, barrier), range(WRITERS)))
    assert Counter(status for status, _ in told) == {201: 1, 409: WRITERS - 1}
    [winner] = [writer for status, writer in told if status == 201]
    found = stores[0].read(stores[0].find("set"), range(50))
    assert [row.prompt for row in found] == [f"{winner}+{number}=?" for number in range(50)]


def _no_links(*_: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("gateways", [1, 3])
def test_equal_uploads_that_meet_are_one_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateways: int
) -> None:
    one_after_all_began(monkeypatch)
    stores, barrier = [store_in(tmp_path) for _ in range(gateways)], threading.Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        told = list(pool.map(lambda n: add(stores[n % gateways], 0, barrier), range(WRITERS)))
    assert {status for status, _ in told} <= {200, 201}
    assert len(stores[0].read(stores[0].find("set"), range(50))) == 50
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".jsonl"}, "nothing else left"


@pytest.mark.parametrize("damage", [b"", b"{}\n", None])
def test_rows_that_are_no_longer_whole_are_written_again(tmp_path: Path, damage: bytes | None) -> None:
    store = store_in(tmp_path)
    assert store.add("set", "train", io.BytesIO(content(0))).is_new
    [file] = tmp_path.glob("*.jsonl")
    whole = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    assert store.add("set", "train", io.BytesIO(content(0))).is_new
    assert file.read_bytes() == whole
    assert not store.add("set", "train", io.BytesIO(content(0))).is_new


def test_an_upload_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = store_in(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.add("set", "train", io.BytesIO(content(0)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_that_breaks_off_keeps_nothing(gateway: RunningGateway, chunked: bool) -> None:
    """At the end of a line: what came is a whole data set in itself."""
    host, port = gateway.url.removeprefix("http://").split(":")
    body = rows(5) + b"\n"
    head = b"POST /v1/datasets?name=cut&split=eval HTTP/1.1\r\nHost: gateway\r\n"
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n"
    else:
        head += b"Content-Length: %d\r\n\r\n" % (2 * len(body)) + body
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    assert b" 201 " not in answer
    folder = gateway.settings.run.directory / "datasets"
    # There may be no folder yet.
    wait_until(lambda: not list(folder.glob("*")), DEADLINE_SECONDS, "nothing is left of the upload")
    assert gateway.client.get("/v1/datasets").json() == {"datasets": []}


def test_a_removed_data_set_may_come_again_with_other_rows(gateway: RunningGateway) -> None:
    assert upload(gateway, rows(5), split="eval").json()["new"]
    assert not upload(gateway, rows(5), split="eval").json()["new"]
    assert gateway.client.delete("/v1/datasets/sums").status_code == 204
    assert upload(gateway, rows(6), split="eval").json()["rows"] == 6


def test_removing_needs_the_admin_token(make_gateway: Any) -> None:
    gateway = make_gateway(
        "security.user_token=user-token-0123456789",
        "security.admin_token=admin-token-0123456789",
        "security.service_token=service-token-0123456789",
    )
    headers = {scope: {"Authorization": f"Bearer {scope}-token-0123456789"} for scope in ("user", "admin")}
    kept = gateway.client.post(
        "/v1/datasets", params={"name": "sums", "split": "eval"}, content=rows(2), headers=headers["user"]
    )
    assert kept.status_code == 201
    assert gateway.client.delete("/v1/datasets/sums", headers=headers["user"]).status_code == 401
    assert gateway.client.delete("/v1/datasets/sums", headers=headers["admin"]).status_code == 204


@pytest.mark.parametrize("path", ["/v1/datasets?name=a&", "/v1/datasets/check?", "/v1/prompts?"])
def test_a_parameter_that_would_do_nothing_is_refused(gateway: RunningGateway, path: str) -> None:
    reply = gateway.client.post(f"{path}prompt_field=question", content=rows(1))
    assert reply.status_code == 422
    assert "unknown parameter 'prompt_field'" in reply.json()["detail"]


def test_rest_leaves_out_and_counts_what_is_too_long(gateway: RunningGateway) -> None:
    long = json.dumps({"prompt": "1" * 449, "answer": "1"}).encode()
    path = "/v1/datasets?name=sums&split=eval"
    refused = gateway.client.post(path, content=rows(2) + b"\n\n" + long)
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert (error["row"], error["too_long"]) == (4, True)
    reply = gateway.client.post(f"{path}&skip_too_long=true", content=rows(2) + b"\n" + long)
    assert (reply.status_code, reply.json()["rows"], reply.json()["too_long"]) == (201, 2, 1)
    only = gateway.client.post(f"{path}&skip_too_long=true", content=long)
    assert "holds no rows (1 too long" in only.json()["detail"]


def test_rest_takes_arrays_csv_and_byte_order_marks(gateway: RunningGateway) -> None:
    array = json.dumps([json.loads(line) for line in rows(3).splitlines()]).encode()
    for name, body in (
        ("lines", b"\xef\xbb\xbf" + rows(3).replace(b"\n", b"\r\n")),
        ("array", b"\xef\xbb\xbf" + array),
        ("csv", b"prompt,answer\n1+1=?,2\n1+2=?,3\n"),
    ):
        reply = upload(gateway, body, name=name, split="eval")
        assert (reply.status_code, reply.json()["rows"]) == (201, 2 if name == "csv" else 3)
    prompt = b'\xef\xbb\xbf{"prompt": "1+1=?", "answer": 2.0, "id": 5}'
    assert gateway.client.post("/v1/prompts", content=prompt).json()["prompts"][0]["id"] == "5"
    assert gateway.ledger.task("5").task.answer == "2"
    wide = gateway.client.post("/v1/prompts", content='{"prompt": "1"}'.encode("utf-16"))
    assert "the body is UTF-16" in wide.json()["detail"]
