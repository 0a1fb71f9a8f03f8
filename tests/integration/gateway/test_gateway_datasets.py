"""Data sets over real HTTP, and the feeder that serves them into the queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from services.gateway.feeder import DatasetPosition, Feeder, epoch_order
from tests.support.running_gateway import RunningGateway, gateway_settings
from tests.support.waiting import wait_until
from vapo.data_files.errors import RowError
from vapo.ledger import Ledger, Note
from vapo.local.private_redis import PrivateRedis

DEADLINE_SECONDS = 15


def rows(count: int) -> bytes:
    lines = [
        json.dumps({"id": f"row.{number}", "prompt": f"{number}+1=?", "answer": number + 1}) for number in range(count)
    ]
    return "\n".join(lines).encode()


def upload(gateway: RunningGateway, body: bytes, name: str = "sums", split: str = "train") -> Any:
    return gateway.client.post("/v1/datasets", params={"name": name, "split": split}, content=body)


def served_rows(ledger: Ledger) -> list[str]:
    """Ids of the tasks waiting, oldest first."""
    waiting = ledger.redis.lrange(ledger.keys.named("backlog"), 0, -1)
    return [item.decode().rpartition("|")[0] for item in waiting]


def test_upload_list_read_delete(gateway: RunningGateway) -> None:
    reply = upload(gateway, rows(5), split="eval")
    assert reply.status_code == 201
    assert (reply.json()["rows"], reply.json()["split"]) == (5, "eval")
    assert upload(gateway, rows(5), split="eval").status_code == 200, "the same rows again"
    assert upload(gateway, rows(6), split="eval").status_code == 409
    assert upload(gateway, rows(5), split="train").status_code == 409
    listed = gateway.client.get("/v1/datasets").json()["datasets"]
    assert [dataset["name"] for dataset in listed] == ["sums"]
    assert gateway.client.delete("/v1/datasets/sums").status_code == 204
    assert gateway.client.get("/v1/datasets/sums").status_code == 404
    assert gateway.client.delete("/v1/datasets/sums").status_code == 404
    assert not list((gateway.settings.run.directory / "datasets").iterdir())


def test_bad_rows_are_listed_and_nothing_is_kept(gateway: RunningGateway) -> None:
    body = rows(3) + b'\n{"prompt": "1"}\n{"prompt": "1", "answer": ""}\n{"prompt": "1", "answer": "1"}\n'
    reply = upload(gateway, body)
    assert reply.status_code == 422
    assert [error["row"] for error in reply.json()["errors"]] == [4, 5]
    assert gateway.client.get("/v1/datasets").json()["datasets"] == []
    assert not list((gateway.settings.run.directory / "datasets").glob("*"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b"PAR1 and then nothing", "Parquet"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        (b'{"prompt": ', "not JSON"),
        (b"[1, 2]", "not an object"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused(gateway: RunningGateway, body: bytes, message: str) -> None:
    reply = upload(gateway, body)
    assert reply.status_code == 422
    assert message in reply.json()["detail"]


@pytest.mark.parametrize("name", ["", "../up", "a b", "a.b", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(gateway: RunningGateway, name: str) -> None:
    assert upload(gateway, rows(1), name=name).status_code == 422


def test_a_data_set_has_a_size_limit_of_its_own(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("gateway.max_body_bytes=2000", "gateway.max_dataset_bytes=20000")
    assert upload(gateway, rows(100), split="eval").status_code == 201
    assert upload(gateway, rows(1000), name="big").status_code == 413
    assert gateway.client.post("/v1/prompts", content=b" " * 3000).status_code == 413


def test_parquet(gateway: RunningGateway, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"prompt": ["1+1=?", "1+2=?"], "answer": ["2", "3"], "id": ["a", None]})
    parquet.write_table(table, tmp_path / "set.parquet")
    reply = upload(gateway, (tmp_path / "set.parquet").read_bytes(), split="eval")
    assert (reply.status_code, reply.json()["rows"]) == (201, 2)


def test_the_queue_is_topped_up_to_the_low_water_mark(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("gateway.backlog_low_water=10")
    upload(gateway, rows(500))
    wait_until(lambda: gateway.ledger.depths()["backlog"] >= 10, DEADLINE_SECONDS, "the queue is topped up")
    before = gateway.ledger.depths()["backlog"]
    assert before < 10 + 16
    task = gateway.ledger.task(served_rows(gateway.ledger)[0]).task
    assert (task.dataset, task.purpose, task.samples) == ("sums", "train", 2)
    assert task.metadata["id"].startswith("row.")


def test_a_queue_smaller_than_a_step_of_feeding_is_fed(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.task_queue_limit=3")
    upload(gateway, rows(10))
    wait_until(lambda: gateway.ledger.depths()["backlog"] == 3, DEADLINE_SECONDS, "as many as may wait")
    first = served_rows(gateway.ledger)
    assert drain(gateway.ledger, 2) == first[:2]
    wait_until(lambda: gateway.ledger.depths()["backlog"] == 3, DEADLINE_SECONDS, "the queue is topped up")
    assert len({*first, *served_rows(gateway.ledger)}) == 5


class LeavesAllOut:
    """The limits of a run that was started again with lower ones."""

    def build(self, number: int, *_: Any) -> NoReturn:
        raise RowError(number, "prompt", "does not fit")


def test_data_sets_whose_every_row_is_left_out_do_not_keep_the_feeder_busy(gateway: RunningGateway) -> None:
    upload(gateway, rows(1))
    gateway.gateway.feeder.stop()
    dataset = gateway.gateway.datasets.find("sums")
    feeder = Feeder(gateway.ledger, gateway.gateway.datasets, LeavesAllOut())
    drain(gateway.ledger, 1000)
    before = feeder.position(dataset).epoch
    assert feeder.top_up() == 0
    assert 0 < feeder.position(dataset).epoch - before < 100


def test_each_epoch_serves_each_row_once_in_an_order_of_its_own(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("gateway.backlog_low_water=250")
    upload(gateway, rows(100))
    wait_until(lambda: gateway.ledger.depths()["backlog"] >= 250, DEADLINE_SECONDS, "two epochs and a half")
    names = served_rows(gateway.ledger)[:200]
    epochs = [names[:100], names[100:]]
    assert [{name.split("-")[2] for name in epoch} for epoch in epochs] == [{"e0"}, {"e1"}]
    orders = [[int(name.rpartition("-")[2]) for name in epoch] for epoch in epochs]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] == list(epoch_order(0, "sums", 0, 100))


def test_two_data_sets_are_mixed_in_proportion_to_their_sizes(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("gateway.backlog_low_water=2000")
    gateway.gateway.feeder.stop()
    upload(gateway, rows(100), name="small")
    upload(gateway, rows(900), name="large")
    feeder = Feeder(gateway.ledger, gateway.gateway.datasets, gateway.gateway.builder)
    assert feeder.top_up() >= 2000
    served = Counter(name.partition("-")[0] for name in served_rows(gateway.ledger))
    assert 0.05 < served["small"] / served.total() < 0.18


@pytest.mark.slow
def test_a_restart_and_a_second_gateway_neither_lose_nor_repeat_rows(
    redis_server: PrivateRedis, tmp_path: Path
) -> None:
    settings = gateway_settings(redis_server.settings, tmp_path, "gateway.backlog_low_water=40")
    served: list[str] = []
    with RunningGateway(settings) as first:
        upload(first, rows(300))
        wait_until(lambda: first.ledger.depths()["backlog"] >= 40, DEADLINE_SECONDS, "first gateway feeds")
    for _ in range(3):
        with RunningGateway(settings) as first, RunningGateway(settings) as second:
            for gateway in (first, second):
                served += drain(gateway.ledger, 30)
                wait_until(lambda ledger=gateway.ledger: ledger.depths()["backlog"] >= 40, DEADLINE_SECONDS, "feeding")
    with RunningGateway(settings) as last:
        served += drain(last.ledger, 10**6)
        counters = last.ledger.counters()
    known = counters["submitted_train"]
    assert len(served) >= known - 160, "what is fed after the last drain is not looked at"
    assert max(Counter(served).values()) == 1
    order = [int(name.rpartition("-")[2]) for name in served if "-e0-" in name]
    assert order == list(epoch_order(0, "sums", 0, 300))[: len(order)]


def drain(ledger: Ledger, count: int) -> list[str]:
    """Take tasks off the queue as a generator would, without a lease."""
    items = ledger.redis.lpop(ledger.keys.named("backlog"), count) or []
    return [item.decode().rpartition("|")[0] for item in items]


def test_a_conflicting_position_is_read_again(gateway: RunningGateway) -> None:
    upload(gateway, rows(2000))
    dataset = gateway.gateway.datasets.find("sums")
    wait_until(lambda: gateway.ledger.depths()["backlog"] >= 64, DEADLINE_SECONDS, "feeding")
    field = f"sums:{dataset.sha256[:16]}"
    now = gateway.ledger.note("dataset_positions", field)
    gateway.ledger.submit([], [Note("dataset_positions", field, now, "1:1000")])
    drain(gateway.ledger, 10**6)
    wait_until(lambda: gateway.ledger.depths()["backlog"] >= 64, DEADLINE_SECONDS, "feeding goes on")
    assert all("-e1-" in name for name in served_rows(gateway.ledger))


def test_positions_as_text() -> None:
    assert str(DatasetPosition.parse("")) == "0:0"
    assert DatasetPosition.parse("3:7").advanced(3, 10) == DatasetPosition(4, 0)
    assert str(DatasetPosition(1, 5).advanced(4, 10)) == "1:9"
