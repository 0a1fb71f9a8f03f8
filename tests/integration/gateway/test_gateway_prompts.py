"""Prompts over real HTTP: what is accepted, and how everything else is refused."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.ledger_records import CORRECT, NOT_JUDGED, generated
from tests.support.running_gateway import RunningGateway, gateway_settings
from vapo.ledger import Stage
from vapo.ledger.fleet import Member
from vapo.local.private_redis import PrivateRedis

GOOD = {"prompt": "12+34=?", "answer": "46"}


@pytest.fixture(scope="module")
def shared_gateway(redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for the tests that leave nothing behind."""
    folder = tmp_path_factory.mktemp("gateway")
    with RunningGateway(gateway_settings(redis_server.settings, folder)) as gateway:
        yield gateway


def post(gateway: RunningGateway, body: Any) -> httpx.Response:
    return gateway.client.post("/v1/prompts", json=body)


def test_prompts_are_queued_tokenised(gateway: RunningGateway) -> None:
    reply = post(
        gateway,
        {
            "prompts": [
                {**GOOD, "id": "a", "metadata": {"grade": 2}, "samples": 3},
                {"messages": [{"role": "user", "content": "1+1=?"}], "answer": 2},
                {"prompt_token_ids": [5, 6, 7], "answer": "x", "sampling": {"temperature": 0.5}},
            ]
        },
    )
    assert reply.status_code == 202
    assert reply.json()["accepted"] == 3
    task = gateway.ledger.task("a").task
    assert task.prompt_token_ids.tolist() == gateway.gateway.tokenizer.encode_prompt("12+34=?")
    assert (task.samples, task.metadata, task.verifier) == (3, {"grade": 2}, "math")
    others = [gateway.ledger.task(row["id"]).task for row in reply.json()["prompts"][1:]]
    assert [other.answer for other in others] == ["2", "x"]
    assert others[1].sampling.temperature == 0.5
    assert gateway.ledger.depths()["backlog"] == 3


@pytest.mark.parametrize("body", [GOOD, [GOOD], {"prompts": [GOOD]}])
def test_an_object_a_list_or_prompts(gateway: RunningGateway, body: Any) -> None:
    assert post(gateway, body).json()["accepted"] == 1


def test_ndjson(gateway: RunningGateway) -> None:
    lines = "\n".join(json.dumps({**GOOD, "id": f"n{number}"}) for number in range(5)) + "\n\n"
    reply = gateway.client.post("/v1/prompts", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert reply.json()["accepted"] == 5


def test_resubmission_is_recognised(gateway: RunningGateway) -> None:
    assert post(gateway, {**GOOD, "id": "a"}).json()["accepted"] == 1
    again = post(gateway, {"prompts": [{**GOOD, "id": "a"}, {**GOOD, "id": "b"}]}).json()
    assert (again["accepted"], again["already_known"]) == (1, 1)
    assert gateway.ledger.depths()["backlog"] == 2


@pytest.mark.parametrize("change", [{"prompt": "1+2=?"}, {"answer": "3"}])
@pytest.mark.parametrize("trimmed", [False, True])
def test_an_id_stands_for_one_problem(
    make_gateway: Callable[..., RunningGateway], change: dict[str, str], trimmed: bool
) -> None:
    gateway = make_gateway("ledger.retained_rollouts=0")
    first = {**GOOD, "id": "a", "samples": 1}
    assert post(gateway, first).json()["accepted"] == 1
    if trimmed:
        [lease] = gateway.ledger.lease_tasks("generator", 1, version=0)
        gateway.ledger.record_generated("a", 0, generated())
        gateway.ledger.finish_task_lease(lease)
        [judging] = gateway.ledger.lease(Stage.GENERATED, "verifier", 1, 0.1)
        gateway.ledger.record_verdicts([(judging, gateway.ledger.rollout("a.0"), NOT_JUDGED)])
        while gateway.ledger.task("a").task is not None:
            gateway.ledger.trim()
    reply = post(gateway, {"prompts": [{**GOOD, "id": "new"}, {**first, **change}]})
    assert reply.status_code == 409
    assert "'a'" in reply.json()["detail"]
    assert [error["field"] for error in reply.json()["errors"]] == ["id"]
    assert gateway.ledger.task("new") is None, "all of a request or nothing"
    assert post(gateway, first).json()["already_known"] == 1
    assert post(gateway, {**first, "metadata": {"try": 2}}).json()["already_known"] == 1


def test_a_request_that_could_never_fit_is_not_told_to_come_back(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.task_queue_limit=3")
    reply = post(gateway, {"prompts": [GOOD] * 4})
    assert reply.status_code == 413
    assert "at most 3" in reply.json()["detail"]
    assert post(gateway, {"prompts": [GOOD] * 2}).status_code == 202
    assert post(gateway, {"prompts": [GOOD] * 2}).status_code == 429


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ({"prompt": "1+1=?"}, "answer", "required"),
        ({"prompt": "1+1=?", "answer": " "}, "answer", "empty"),
        ({"prompt": "1+1=?", "answer": None}, "answer", "string"),
        ({"prompt": "1+1=?", "answer": True}, "answer", "string"),
        ({"prompt": " ", "answer": "2"}, "prompt", "empty"),
        ({"prompt": 7, "answer": "2"}, "prompt", "string"),
        ({"prompt": [{"role": "user", "content": "1"}], "answer": "2"}, "prompt", "into messages"),
        ({"prompt": "1", "answer": ["1", "2"]}, "answer", "2 different answers"),
        ({"messages": [{"role": "tool", "content": "1"}], "answer": "2"}, "messages.0.role", "'user' or 'assistant'"),
        ({"answer": "2"}, "", "exactly one of"),
        ({"prompt": "1", "prompt_token_ids": [5], "answer": "2"}, "", "exactly one of"),
        ({**GOOD, "anwser": "2"}, "anwser", "unknown field"),
        ({**GOOD, "id": "a b"}, "id", "white space"),
        ({**GOOD, "id": "a.b"}, "id", "'.'"),
        ({**GOOD, "id": ""}, "id", "at least 1"),
        ({**GOOD, "samples": 0}, "samples", "greater than or equal to 1"),
        ({**GOOD, "samples": 10**6}, "samples", "1024"),
        ({**GOOD, "sampling": {"temperature": 0}}, "sampling.temperature", "greater than 0"),
        ({**GOOD, "sampling": {"temperature": 2.5}}, "sampling.temperature", "equal to 2"),
        ({**GOOD, "sampling": {"top_p": 1.5}}, "sampling.top_p", "equal to 1"),
        ({**GOOD, "sampling": {"max_new_tokens": 10**6}}, "prompt", "leaves no room"),
        ({**GOOD, "sampling": {"heat": 1}}, "sampling.heat", "unknown field"),
        ({**GOOD, "metadata": {"big": 2**70}}, "metadata", "cannot be stored"),
        ({"prompt_token_ids": [5, 99], "answer": "2"}, "prompt_token_ids", "vocabulary, 0 to 98"),
        ({"prompt_token_ids": [-1], "answer": "2"}, "prompt_token_ids", "vocabulary"),
        ({"prompt_token_ids": ["5"], "answer": "2"}, "prompt_token_ids.0", "integer"),
        ({"prompt_token_ids": [], "answer": "2"}, "prompt_token_ids", "empty"),
        ({"messages": [], "answer": "2"}, "messages", "empty"),
        ({"messages": [{"content": "x"}], "answer": "2"}, "messages.0.role", "required"),
        ({"prompt": "1" * 449, "answer": "2"}, "prompt", "449 tokens; at most 448 fit"),
        ({**GOOD, "sampling": {"max_new_tokens": 600}}, "prompt", "max_new_tokens=600"),
        ("text", "", "not an object"),
        (None, "", "not an object"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_accepted(
    shared_gateway: RunningGateway, row: Any, field: str, message: str
) -> None:
    reply = post(shared_gateway, {"prompts": [GOOD, row, GOOD]})
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    [error] = reply.json()["errors"]
    assert (error["row"], error["field"]) == (2, field)
    assert message in error["message"]
    assert shared_gateway.ledger.depths()["backlog"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"prompt": "caf\xe9", "answer": "2"}', "not UTF-8: byte 0xe9 at position 15"),
        (b'{"prompt": "a", ', "not JSON"),
        (b"", "not JSON"),
        (b'{"prompt": "a", "answer": NaN}', "not JSON"),
        (b'{"prompt": "\\ud800", "answer": "2"}', "not JSON"),
        (b'{"prompts": []}', "no prompt"),
        (b'{"prompts": {}}', "not a list"),
        (b'{"prompts": [], "more": 1}', "unknown field 'more'"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "not an object"),
    ],
)
def test_a_bad_body_is_refused(shared_gateway: RunningGateway, body: bytes, message: str) -> None:
    reply = shared_gateway.client.post("/v1/prompts", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    assert message in reply.json()["detail"]


def test_a_bad_line_of_ndjson_is_named(gateway: RunningGateway) -> None:
    body = json.dumps(GOOD).encode() + b'\n{"prompt": "\xff"}\n'
    reply = gateway.client.post("/v1/prompts", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert reply.status_code == 422
    assert "row 2" in reply.json()["detail"]
    assert "UTF-8" in reply.json()["detail"]


def test_a_refused_line_leaves_the_connection_and_the_log_clean(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    lines, headers = json.dumps(GOOD).encode() + b"\n{", {"Content-Type": "application/x-ndjson"}
    for _ in range(3):
        reply = gateway.client.post("/v1/prompts", content=lines, headers=headers)
        assert reply.status_code == 422
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_id_twice_in_one_request_is_refused(gateway: RunningGateway) -> None:
    reply = post(gateway, {"prompts": [{**GOOD, "id": "a"}, {**GOOD, "id": "a"}]})
    assert reply.status_code == 422
    assert "occurs twice" in reply.json()["detail"]


def test_a_full_queue_answers_429_and_takes_nothing(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.task_queue_limit=2")
    assert post(gateway, [GOOD, GOOD]).status_code == 202
    reply = post(gateway, GOOD)
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0
    assert "task_queue_limit" in reply.json()["detail"]
    assert gateway.ledger.depths()["backlog"] == 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_megabytes_is_refused_without_being_held(gateway: RunningGateway, chunked: bool) -> None:
    """Whether its length is declared or not, the client reads a 413 rather than a broken pipe."""

    def chunks() -> Any:
        for _ in range(100):
            yield b" " * 2**20

    headers = {"Content-Type": "application/json"}
    if not chunked:
        headers["Content-Length"] = str(100 * 2**20)
    reply = gateway.client.post("/v1/prompts", content=chunks(), headers=headers)
    assert reply.status_code == 413
    assert "larger than" in reply.json()["detail"]
    assert post(gateway, GOOD).status_code == 202


def test_a_client_that_hangs_up_in_the_middle_leaves_no_trace(gateway: RunningGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/prompts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert post(gateway, GOOD).status_code == 202
    assert gateway.ledger.depths()["backlog"] == 1


def test_the_state_of_a_prompt_and_its_rollouts(gateway: RunningGateway) -> None:
    post(gateway, {**GOOD, "id": "group/7", "samples": 2})
    assert gateway.client.get("/v1/prompts/group/7").json()["state"] == "queued"
    gateway.ledger.lease_tasks("generator", 1, version=0)
    gateway.ledger.record_generated("group/7", 0, generated())
    [lease] = gateway.ledger.lease(Stage.GENERATED, "verifier", 1, 0.1)
    gateway.ledger.record_verdicts([(lease, gateway.ledger.rollout(lease.id), CORRECT)])
    document = gateway.client.get("/v1/prompts/group/7").json()
    assert (document["state"], document["generated"]) == ("admitted", 1)
    assert document["rollouts"] == [{"id": "group/7.0", "state": "verified", "verdict": "correct", "reward": 1.0}]
    assert gateway.client.get("/v1/prompts/none").status_code == 404


def test_tokens_separate_users_from_administrators(make_gateway: Callable[..., RunningGateway]) -> None:
    names = ("user", "admin", "service")
    gateway = make_gateway(*(f"security.{name}_token={name * 6}" for name in names))
    bearer = {name: {"Authorization": f"Bearer {name * 6}"} for name in names}
    assert post(gateway, GOOD).status_code == 401
    assert gateway.client.get("/").status_code == 200, "the page holds no data"
    assert gateway.client.get("/healthz").status_code == 200
    for path in ("/v1/metrics", "/v1/fleet", "/v1/events", "/metrics", "/v1/rollouts"):
        assert gateway.client.get(path).status_code == 401, path
    assert gateway.client.get("/v1/metrics", headers=bearer["user"]).status_code == 200
    assert gateway.client.post("/v1/control/pause", headers=bearer["user"]).status_code == 401
    assert gateway.client.post("/v1/control/pause", headers=bearer["admin"]).status_code == 200
    wrong = {"Authorization": "Bearer " + "x" * 24}
    assert gateway.client.get("/v1/metrics", headers=wrong).status_code == 401


@pytest.mark.slow
def test_ten_thousand_prompts_in_one_request(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway()
    begun = time.monotonic()
    assert post(gateway, {"prompts": [GOOD] * 10_000}).json()["accepted"] == 10_000
    assert time.monotonic() - begun < 30


def test_a_verifier_that_no_service_announces_is_refused_by_name(gateway: RunningGateway) -> None:
    row = {**GOOD, "verifier": "poetry"}
    assert post(gateway, row).status_code == 202  # no verifier runs yet: the queue will say
    details = {"verifiers": ["exact", "math", "tolerance"]}
    gateway.ledger.fleet.beat(Member("v", "verifier", "http://x", "READY", details=details))
    refused = post(gateway, {"prompts": [GOOD, row]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "verifier"
    assert "exact, math, tolerance" in refused.json()["errors"][0]["message"]
    body = json.dumps(row).encode()
    dataset = gateway.client.post("/v1/datasets", params={"name": "poems"}, content=body)
    assert dataset.status_code == 422
    assert "poetry" in dataset.text
    assert post(gateway, {**GOOD, "verifier": "tolerance"}).status_code == 202
