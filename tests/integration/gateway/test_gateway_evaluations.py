"""The life of an evaluation, with responses and verdicts recorded as the other parts would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.ledger_records import CORRECT, NOT_JUDGED, WRONG, generated
from tests.support.running_gateway import RunningGateway
from vapo.ledger import Ledger, Stage
from vapo.messages import Verdict

PROBLEMS = [{"id": "first", "prompt": "1+1=?", "answer": "2"}, {"id": "second", "prompt": "1+2=?", "answer": "3"}]
DEADLINE_SECONDS = 15


def start(gateway: RunningGateway, **request: Any) -> dict[str, Any]:
    reply = gateway.client.post("/v1/evaluations", json={"problems": PROBLEMS, "samples": 2, **request})
    assert reply.status_code == 202, reply.text
    return reply.json()


def read(gateway: RunningGateway, evaluation: dict[str, Any], **params: Any) -> dict[str, Any]:
    return gateway.client.get(f"/v1/evaluations/{evaluation['id']}", params=params).json()


def respond(ledger: Ledger, version: int = 0) -> None:
    """Generate all that is asked for."""
    while leases := ledger.lease_tasks("generator", 10, version=10**6):
        for lease in leases:
            for sample in lease.samples:
                ledger.record_generated(lease.id, sample, generated(3 + sample, version + sample))
            assert ledger.finish_task_lease(lease)


def judge(ledger: Ledger, verdict_of: Callable[[str], Verdict]) -> None:
    """Judge all that is generated."""
    while leases := ledger.lease(Stage.GENERATED, "verifier", 10, 0):
        for lease in leases:
            ledger.record_verdicts([(lease, ledger.rollout(lease.id), verdict_of(lease.id))])


def wait_until_finished(gateway: RunningGateway, evaluation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (document := read(gateway, evaluation)).get("finished_at"):
        assert time.monotonic() < deadline, document
        time.sleep(0.02)
    return document


def test_from_start_to_scores(gateway: RunningGateway) -> None:
    evaluation = start(gateway, temperature=0.6)
    assert (evaluation["responses"], evaluation["responses_wanted"]) == (0, 4)
    assert "avg_at_k" not in evaluation
    task = gateway.ledger.task(f"{evaluation['id']}:0").task
    assert (task.purpose, task.sampling.temperature, task.samples) == ("eval", 0.6, 2)
    assert task.sampling.top_p == gateway.settings.evaluation.top_p
    respond(gateway.ledger, version=5)
    assert not read(gateway, evaluation)["finished"]
    right = {f"{evaluation['id']}:0.0", f"{evaluation['id']}:0.1", f"{evaluation['id']}:1.0"}
    judge(gateway.ledger, lambda name: CORRECT if name in right else WRONG)
    done = wait_until_finished(gateway, evaluation)
    assert done["finished"]
    assert done["avg_at_k"] == 0.75
    assert done["pass_at_k"] == {"1": 0.75, "2": 1.0}
    assert done["maj_at_k"] == 0.75
    assert done["standard_error"] == pytest.approx(0.25)
    assert done["mean_length"] == 3.5
    assert (done["oldest_weight_version"], done["newest_weight_version"]) == (5, 6)
    results = read(gateway, evaluation, problems=True)["results"]
    assert [(result["id"], result["answer"], result["correct"]) for result in results] == [
        ("first", "2", 2),
        ("second", "3", 1),
    ]
    assert results[1]["extracted"] == ["2", "3"]
    [event] = [data for _, kind, data in gateway.ledger.journal.events("0", 0) if kind == "evaluation"]
    assert event["avg_at_k"] == 0.75
    assert gateway.client.get("/v1/evaluations").json()["evaluations"] == [done]
    assert gateway.ledger.depths()["admitted"] == 0, "evaluations take no training slots"


def test_a_data_set_is_evaluated_by_name(gateway: RunningGateway) -> None:
    body = b'{"prompt": "1+1=?", "answer": "2"}\n{"prompt": "1+2=?", "answer": "3", "samples": 9}'
    gateway.client.post("/v1/datasets", params={"name": "held", "split": "eval"}, content=body)
    reply = gateway.client.post("/v1/evaluations", json={"dataset": "held", "samples": 3})
    assert (reply.json()["problems"], reply.json()["responses_wanted"]) == (2, 6)
    assert reply.json()["dataset"] == "held"
    assert gateway.ledger.depths()["backlog"] == 0, "a held-out set is never trained on"


def test_an_id_makes_it_idempotent(gateway: RunningGateway) -> None:
    first = start(gateway, id="before")
    second = start(gateway, id="before", samples=7)
    assert first == second
    assert gateway.ledger.depths()["eval_tasks"] == 2


def test_an_evaluation_whose_task_ids_prompts_have_is_refused_whole(gateway: RunningGateway) -> None:
    prompt = {"id": "test:1", "prompt": "1+1=?", "answer": "2"}
    assert gateway.client.post("/v1/prompts", json=prompt).status_code == 202
    problems = [{"prompt": "1+1=?", "answer": "2"}] * 2
    reply = gateway.client.post("/v1/evaluations", json={"id": "test", "problems": problems})
    assert reply.status_code == 409, "its second problem would never be answered"
    assert "choose another id" in reply.json()["detail"]
    assert gateway.client.get("/v1/evaluations/test").status_code == 404
    assert gateway.ledger.depths()["eval_tasks"] == 0


def test_partial_scores_while_it_runs(gateway: RunningGateway) -> None:
    evaluation = start(gateway)
    respond(gateway.ledger)
    [lease] = gateway.ledger.lease(Stage.GENERATED, "verifier", 1, 0.1)
    gateway.ledger.record_verdicts([(lease, gateway.ledger.rollout(lease.id), CORRECT)])
    document = read(gateway, evaluation)
    assert (document["finished"], document["responses"], document["avg_at_k"]) == (False, 1, 1.0)
    assert document["pass_at_k"] == {"1": 1.0}


def test_what_failed_or_could_not_be_judged_is_counted_apart_and_it_still_ends(gateway: RunningGateway) -> None:
    evaluation = start(gateway)
    name = evaluation["id"]
    [first, second] = gateway.ledger.lease_tasks("generator", 10, version=0)
    gateway.ledger.record_generated(first.id, 0, generated())
    gateway.ledger.bury(first, "the prompt cannot be decoded")
    for sample in (0, 1):
        gateway.ledger.record_generated(second.id, sample, generated())
    gateway.ledger.finish_task_lease(second)
    leases = {lease.id: lease for lease in gateway.ledger.lease(Stage.GENERATED, "verifier", 10, 0.1)}
    gateway.ledger.bury(leases.pop(f"{name}:1.0"), "the verifier crashed")
    for lease in leases.values():
        verdict = NOT_JUDGED if lease.id == f"{name}:1.1" else CORRECT
        gateway.ledger.record_verdicts([(lease, gateway.ledger.rollout(lease.id), verdict)])
    done = wait_until_finished(gateway, evaluation)
    assert (done["failed"], done["not_judged"], done["judged"]) == (2, 1, 1)
    assert (done["state"], done["avg_at_k"]) == ("finished_with_failures", 1.0)
    assert {one["reason"] for one in done["reasons"]} == {
        "the prompt cannot be decoded",
        "the verifier crashed",
        NOT_JUDGED.reason,
    }
    letters = gateway.client.get("/v1/dead-letters").json()["dead_letters"]
    assert [(letter["stage"], letter["samples"]) for letter in letters] == [("generated", ""), ("eval_tasks", "1")]
    for letter in letters:
        path = f"/v1/dead-letters/{letter['entry']}/requeue"
        assert gateway.client.post(path).status_code == 200
    reopened = read(gateway, evaluation)
    assert (reopened["state"], reopened["responses"], reopened["failed"]) == ("running", 2, 0)
    respond(gateway.ledger)
    judge(gateway.ledger, lambda _: WRONG)
    again = wait_until_finished(gateway, evaluation)
    assert (again["state"], again["judged"], again["avg_at_k"]) == ("finished", 3, 0.25)


def test_an_evaluation_of_which_everything_failed_has_no_score(gateway: RunningGateway) -> None:
    evaluation = start(gateway)
    for lease in gateway.ledger.lease_tasks("generator", 10, version=0):
        gateway.ledger.bury(lease, "temperature must be in [0, 2], got 3.0.")
    done = wait_until_finished(gateway, evaluation)
    assert (done["state"], done["failed"], done["judged"]) == ("failed", 4, 0)
    assert not {"avg_at_k", "maj_at_k", "pass_at_k"} & set(done)
    assert done["reasons"] == [{"reason": "temperature must be in [0, 2], got 3.0.", "responses": 4}]


def test_a_greedy_evaluation_has_one_response_to_each_problem(gateway: RunningGateway) -> None:
    reply = gateway.client.post("/v1/evaluations", json={"problems": PROBLEMS, "temperature": 0})
    evaluation = reply.json()
    assert (evaluation["samples"], evaluation["temperature"]) == (1, 0.0)
    task = gateway.ledger.task(f"{evaluation['id']}:0").task
    assert (task.samples, task.sampling.temperature) == (1, 0.0)


def test_it_survives_trimming_of_its_rollouts(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.retained_rollouts=0")
    evaluation = start(gateway)
    respond(gateway.ledger)
    judge(gateway.ledger, lambda _: CORRECT)
    assert wait_until_finished(gateway, evaluation)["avg_at_k"] == 1.0
    gateway.gateway.housekeeping.round()
    assert gateway.ledger.rollout(f"{evaluation['id']}:0.0") is None
    results = read(gateway, evaluation, problems=True)["results"]
    assert [result["answer"] for result in results] == ["2", "3"]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        ({}, "either dataset"),
        ({"problems": []}, "either dataset"),
        ({"dataset": "a", "problems": PROBLEMS}, "either dataset"),
        ({"problems": [{"prompt": "1"}]}, "row 1, answer"),
        ({"problems": [{"prompt": "1" * 500, "answer": "1"}]}, "row 1, prompt: has 500 tokens"),
        ({"problems": PROBLEMS, "samples": 0}, "samples"),
        ({"problems": PROBLEMS, "temperature": -1}, "temperature"),
        ({"problems": PROBLEMS, "temperature": 2.5}, "temperature"),
        ({"problems": PROBLEMS, "temperature": 0, "samples": 2}, "temperature 0 is greedy"),
        ({"problems": PROBLEMS, "top_p": 0}, "top_p"),
        ({"problems": PROBLEMS, "samples": 1025}, "samples"),
        ({"problems": PROBLEMS, "max_new_tokens": 10**6}, "leaves no room"),
        ({"problems": PROBLEMS, "sample": 1}, "sample"),
        ({"problems": PROBLEMS, "max_new_tokens": 511}, "max_new_tokens=511"),
        ({"problems": [{**PROBLEMS[0], "samples": 2}]}, "row 1, samples: all problems"),
        (
            {"problems": [PROBLEMS[0], {**PROBLEMS[0], "id": "b", "sampling": {"temperature": 0}}]},
            "row 2, sampling: all problems",
        ),
        ([], "evaluation"),
    ],
)
def test_bad_requests(gateway: RunningGateway, request_body: Any, message: str) -> None:
    reply = gateway.client.post("/v1/evaluations", json=request_body)
    assert reply.status_code == 422
    assert message in reply.json()["detail"]
    assert gateway.client.get("/v1/evaluations").json() == {"evaluations": []}


ODD_VALUES = [
    "",
    "x",
    "\ud800",
    "\x00",
    -1,
    0,
    0.5,
    1e308,
    -(10**30),
    2**63,
    True,
    [],
    [[]],
    [None],
    {},
    {"a": None},
    [{"prompt": "1", "answer": "1", "sampling": {"temperature": 1e9}}],
]


@pytest.mark.parametrize("name", ["samples", "temperature", "top_p", "max_new_tokens", "id", "dataset", "problems"])
def test_nothing_odd_makes_a_defect(gateway: RunningGateway, name: str) -> None:
    for value in ODD_VALUES:
        body = json.dumps({"problems": PROBLEMS, "samples": 1, name: value})
        reply = gateway.client.post("/v1/evaluations", content=body.encode())
        assert reply.status_code in (202, 422), (value, reply.text)
        row = {**PROBLEMS[0], "id": None, "sampling": {name: value}}
        reply = gateway.client.post("/v1/prompts", content=json.dumps(row).encode())
        assert reply.status_code in (202, 422), (value, reply.text)


def test_what_does_not_exist(gateway: RunningGateway) -> None:
    assert gateway.client.get("/v1/evaluations/none").status_code == 404
    assert gateway.client.post("/v1/evaluations", json={"dataset": "none"}).status_code == 404
