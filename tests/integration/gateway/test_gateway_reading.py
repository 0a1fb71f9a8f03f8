"""Rollouts, metrics, fleet, control, dead letters and chat over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from tests.integration.ledger.test_ledger_moves import make_generated, make_scored
from tests.support.ledger_records import task
from tests.support.running_gateway import RunningGateway
from vapo.ledger import Stage
from vapo.ledger.fleet import Member
from vapo.messages import float_array
from vapo.service import bind, bound_url

DEADLINE_SECONDS = 20


def get(gateway: RunningGateway, path: str, **params: Any) -> Any:
    reply = gateway.client.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_rollout_shows_all_that_is_known(gateway: RunningGateway) -> None:
    make_scored(gateway.ledger, "a")
    gateway.ledger.mark_trained([("a.0", {"step": 2, "advantages": float_array([0.5, -0.5, 1.0])})])
    rollout = get(gateway, "/v1/rollouts/a.0")
    assert rollout["token_ids"] == [1, 2, 3]
    assert rollout["behaviour_log_probs"] == [-0.5] * 3
    assert rollout["values"] == [0.25] * 4
    assert rollout["version_spans"] == [[0, 0, 3]]
    assert rollout["training"] == {"step": 2, "advantages": [0.5, -0.5, 1.0]}
    assert (rollout["verdict"], rollout["reward"], rollout["extracted"]) == ("correct", 1.0, "2")
    assert set(rollout["timestamps"]) == {"generated", "verdict", "values", "trained"}
    assert gateway.client.get("/v1/rollouts/none.0").status_code == 404


def test_lists_filter_by_state_purpose_and_task(gateway: RunningGateway) -> None:
    ledger = gateway.ledger
    [done] = make_scored(ledger, "a")
    ledger.mark_trained([("a.0", {})])
    ledger.acknowledge([(done.entry, "a.0")])
    [stale] = make_scored(ledger, "b")
    ledger.drop([stale], "stale", requeue=False)
    [dead] = make_scored(ledger, "d")
    ledger.bury(dead, "damaged")
    make_generated(ledger, "c", samples=2)

    def ids(**params: Any) -> set[str]:
        return {rollout["id"] for rollout in get(gateway, "/v1/rollouts", **params)["rollouts"]}

    assert ids() == {"a.0", "b.0", "c.0", "c.1"}
    assert ids(state="acknowledged") == {"a.0"}
    assert ids(state="dropped") == {"b.0"}
    assert ids(state="generated") == {"c.0", "c.1"}
    assert ids(state="dead") == {"d.0"}
    assert ids(task="c") == {"c.0", "c.1"}
    assert ids(purpose="eval") == set()
    assert len(ids(limit=2)) == 2
    assert gateway.client.get("/v1/rollouts", params={"state": "odd"}).status_code == 422
    assert gateway.client.get("/v1/rollouts", params={"limit": 0}).status_code == 422


def test_a_malformed_record_hides_no_other(gateway: RunningGateway) -> None:
    make_generated(gateway.ledger, "broken")
    make_generated(gateway.ledger, "sound")
    gateway.ledger.redis.hset(gateway.ledger.keys.rollout("broken.0"), "generated", b"\xc1")
    [shown] = get(gateway, "/v1/rollouts")["rollouts"]
    assert shown["id"] == "sound.0"
    reply = gateway.client.get("/v1/rollouts/broken.0")
    assert reply.status_code == 500, "what is stored is not the client's fault"
    assert "stored record" in reply.json()["detail"]


def test_a_list_is_as_long_as_asked(gateway: RunningGateway) -> None:
    make_generated(gateway.ledger, "a", samples=5)
    shown = get(gateway, "/v1/rollouts", limit=3)["rollouts"]
    assert [rollout["id"] for rollout in shown] == ["a.4", "a.3", "a.2"]


def _of_all_ages(gateway: RunningGateway, count: int) -> list[str]:
    """Rollouts of every state, generated in another order than they came to where they are."""
    ledger, ids = gateway.ledger, []
    for number in range(count):
        name = f"t{number * 7 % count}"
        ids.append(f"{name}.0")
        if number % 3 == 0:
            make_generated(ledger, name)
            continue
        [lease] = make_scored(ledger, name)
        if number % 3 == 1:
            ledger.mark_trained([(lease.id, {})])
            ledger.acknowledge([(lease.entry, lease.id)])
    times = dict(zip(ids, range(count), strict=True))
    for rollout_id, at in times.items():
        ledger.redis.hset(ledger.keys.rollout(rollout_id), "generated_at", 1e9 + at // 2)
        ledger.redis.zadd(ledger.keys.named("newest"), {rollout_id: 1e9 + at // 2})
    return sorted(ids, key=lambda name: (times[name] // 2, name), reverse=True)


@pytest.mark.parametrize("limit", [1, 4, 7, 30])
def test_lists_are_of_the_newest_and_go_on_where_they_ended(gateway: RunningGateway, limit: int) -> None:
    """Queue and archive together; some were generated in the same moment."""
    newest = _of_all_ages(gateway, 20)
    shown: list[str] = []
    page: dict[str, Any] = {"next": None}
    while len(shown) < len(newest):
        cursor = {"before": page["next"]} if page["next"] else {}
        page = get(gateway, "/v1/rollouts", limit=limit, **cursor)
        ids = [rollout["id"] for rollout in page["rollouts"]]
        assert ids == newest[len(shown) : len(shown) + limit]
        shown += ids
    assert page["next"] is None or get(gateway, "/v1/rollouts", before=page["next"])["next"] is None
    for wrong in ("yesterday", "nan,a.0", "x,a.0", ""):
        assert gateway.client.get("/v1/rollouts", params={"before": wrong}).status_code == 422


def test_what_was_trimmed_or_is_made_again_is_not_listed(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.retained_rollouts=1")
    ledger = gateway.ledger
    for name in ("a", "b"):
        [lease] = make_scored(ledger, name)
        ledger.mark_trained([(lease.id, {})])
        ledger.acknowledge([(lease.entry, lease.id)])
    [stale] = make_scored(ledger, "c")
    ledger.drop([stale], "stale", requeue=True)
    ledger.trim()
    assert [rollout["id"] for rollout in get(gateway, "/v1/rollouts")["rollouts"]] == ["b.0"]
    assert ledger.redis.zcard(ledger.keys.named("newest")) == 1


@pytest.mark.parametrize("entry", ["99999999999999999999-0", "\u0661-\u0661", "5", "-1-0"])
def test_an_id_no_entry_can_have_is_not_found(gateway: RunningGateway, entry: str) -> None:
    assert gateway.client.post(f"/v1/dead-letters/{entry}/requeue").status_code == 404


def test_numbers_that_redis_cannot_hold_are_refused(gateway: RunningGateway) -> None:
    for value in ("0", "99999999999999999999"):
        reply = gateway.client.get("/v1/metrics/history", params={"last": value})
        assert reply.status_code == 422
        assert "last" in reply.json()["detail"]


def test_a_damaged_evaluation_does_not_end_the_chores(make_gateway: Callable[..., RunningGateway]) -> None:
    gateway = make_gateway("ledger.retained_rollouts=0")
    gateway.ledger.redis.hset(gateway.ledger.keys.named("evaluations"), "damaged", "{}")
    time.sleep(1.0)  # two rounds
    [lease] = make_scored(gateway.ledger, "a")
    gateway.ledger.mark_trained([("a.0", {})])
    gateway.ledger.acknowledge([(lease.entry, "a.0")])
    deadline = time.monotonic() + DEADLINE_SECONDS
    while gateway.ledger.rollout("a.0") is not None:
        assert time.monotonic() < deadline, "its payload is still there"
        time.sleep(0.05)


def test_metrics_and_their_history(gateway: RunningGateway) -> None:
    assert get(gateway, "/v1/metrics")["latest"] is None
    for step in (1, 2, 3):
        gateway.ledger.journal.write_metrics(step, {"reward": step / 10})
    gateway.ledger.journal.write_metrics(3, {"reward": 0.5})
    assert get(gateway, "/v1/metrics")["latest"]["reward"] == 0.5
    history = get(gateway, "/v1/metrics/history")["metrics"]
    assert [row["step"] for row in history] == [1, 2, 3]
    assert [row["step"] for row in get(gateway, "/v1/metrics/history", after_step=1)["metrics"]] == [2, 3]
    assert [row["step"] for row in get(gateway, "/v1/metrics/history", last=1)["metrics"]] == [3]


def test_prometheus(gateway: RunningGateway) -> None:
    make_generated(gateway.ledger, "a")
    gateway.ledger.journal.write_metrics(4, {"reward": 0.5, "note": "text"})
    lines = gateway.client.get("/metrics").text.splitlines()
    assert "vapo_queue_length_generated 1.0" in lines
    assert "vapo_total_generated 1.0" in lines
    assert "vapo_training_reward 0.5" in lines
    assert any(line.startswith("vapo_training_seconds_since_step ") for line in lines)


def test_work_for_generators_is_admitted_tasks_waiting_or_in_hand(gateway: RunningGateway) -> None:
    gateway.ledger.submit([task(name, samples=2) for name in ("a", "b", "c")])
    gateway.ledger.lease_tasks("g1", 1, 0)
    capacity = get(gateway, "/v1/metrics")["admission_capacity"]
    assert capacity >= 6
    assert get(gateway, "/v1/metrics")["generation"] == {"tasks": 3}
    assert "vapo_generation_tasks 3.0" in gateway.client.get("/metrics").text.splitlines()


def test_fleet_and_weights(gateway: RunningGateway) -> None:
    gateway.ledger.fleet.beat(Member("g1", "generator", "http://g1", "READY", 4))
    [member] = get(gateway, "/v1/fleet")["members"]
    assert (member["name"], member["state"], member["weight_version"]) == ("g1", "READY", 4)
    assert member["seconds_since_heartbeat"] < 10
    assert get(gateway, "/v1/weights")["members"][0]["weight_version"] == 4
    assert get(gateway, "/v1/weights")["newest_version"] == 0


@pytest.mark.parametrize("ahead_seconds", [-3600.0, 3600.0])
def test_a_host_with_a_wrong_clock_is_as_alive_as_others(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    right = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: right() + ahead_seconds)
        gateway.ledger.fleet.beat(Member("v1", "verifier", "http://127.0.0.1:1", "READY"))
    [member] = get(gateway, "/v1/fleet")["members"]
    assert member["state"] == "READY"
    assert 0 <= member["seconds_since_heartbeat"] < DEADLINE_SECONDS


def test_pause_resume_and_stop(gateway: RunningGateway) -> None:
    control = gateway.ledger.control
    assert gateway.client.post("/v1/control/pause").json()["state"] == "paused"
    assert control.paused
    assert get(gateway, "/v1/metrics")["paused"]
    gateway.client.post("/v1/control/resume")
    assert not control.paused
    gateway.client.post("/v1/control/stop")
    assert control.stop_requested
    gateway.client.post("/v1/control/resume")
    assert not control.stop_requested
    events = [data["action"] for _, kind, data in gateway.ledger.journal.events("0", 0) if kind == "control"]
    assert events == ["paused", "resumed", "stopping", "resumed"]


def test_dead_letters(gateway: RunningGateway) -> None:
    [lease] = make_scored(gateway.ledger, "a")
    gateway.ledger.bury(lease, "damaged")
    [letter] = get(gateway, "/v1/dead-letters")["dead_letters"]
    assert (letter["id"], letter["reason"], letter["stage"]) == ("a.0", "damaged", "scored")
    path = f"/v1/dead-letters/{letter['entry']}/requeue"
    assert gateway.client.post(path).status_code == 200
    assert gateway.client.post(path).status_code == 404
    assert gateway.client.post("/v1/dead-letters/xyz/requeue").status_code == 404
    [look] = gateway.ledger.newest_rollouts()
    assert (look.cursor.id, look.state) == ("a.0", Stage.SCORED)


def test_unknown_paths_and_methods_are_problem_documents(gateway: RunningGateway) -> None:
    for reply in (gateway.client.get("/v1/nothing"), gateway.client.delete("/v1/prompts")):
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["status"] == reply.status_code
    assert "/v1/prompts" in get(gateway, "/openapi.json")["paths"]


@contextmanager
def generator(answer: str, fail: bool = False, busy: bool = False, breaks: bool = False) -> Iterator[str]:
    """A generator's HTTP side, saying who it is."""
    app = FastAPI()

    def pieces() -> Iterator[str]:
        for part in range(3):
            if breaks and part == 2:
                raise RuntimeError("the engine died")
            yield f"data: {answer}{part}\n\n"

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Any:
        if fail:
            raise HTTPException(422, "too long")
        if busy:
            raise HTTPException(429, "full", {"Retry-After": "7"})
        body = await request.json()
        if body.get("stream"):
            return StreamingResponse(pieces(), media_type="text/event-stream")
        return {"choices": [{"message": {"content": answer}}], "asked": body["messages"]}

    listener = bind("127.0.0.1", 0)
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield bound_url(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


CHAT = {"messages": [{"role": "user", "content": "1+1=?"}]}


def test_chat_goes_to_ready_generators_in_turn(gateway: RunningGateway) -> None:
    assert gateway.client.post("/v1/chat/completions", json=CHAT).status_code == 503
    with generator("one") as one, generator("two") as two:
        for name, url, state in (("1", one, "READY"), ("2", two, "READY"), ("3", "http://127.0.0.1:9", "LOADING")):
            gateway.ledger.fleet.beat(Member(name, "generator", url, state, 0))
        replies = [gateway.client.post("/v1/chat/completions", json=CHAT).json() for _ in range(4)]
        assert sorted(reply["choices"][0]["message"]["content"] for reply in replies) == ["one", "one", "two", "two"]
        assert replies[0]["asked"] == CHAT["messages"]
        streamed = gateway.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.text.count("data: ") == 3


def test_chat_skips_a_generator_that_is_gone(gateway: RunningGateway) -> None:
    with generator("alive") as alive:
        gateway.ledger.fleet.beat(Member("1", "generator", "http://127.0.0.1:9", "READY", 0))
        gateway.ledger.fleet.beat(Member("2", "generator", alive, "READY", 0))
        for _ in range(3):
            reply = gateway.client.post("/v1/chat/completions", json=CHAT)
            assert reply.json()["choices"][0]["message"]["content"] == "alive"
    reply = gateway.client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 502
    assert "no generator can be reached" in reply.json()["detail"]


def test_chat_goes_on_to_a_generator_with_room(gateway: RunningGateway) -> None:
    with generator("never", busy=True) as full, generator("free") as free:
        gateway.ledger.fleet.beat(Member("1", "generator", full, "READY", 0))
        gateway.ledger.fleet.beat(Member("2", "generator", free, "READY", 0))
        for _ in range(3):
            reply = gateway.client.post("/v1/chat/completions", json=CHAT)
            assert reply.json()["choices"][0]["message"]["content"] == "free"
        gateway.ledger.fleet.leave("2")
        reply = gateway.client.post("/v1/chat/completions", json=CHAT)
        assert (reply.status_code, reply.json()["detail"]) == (429, "full")
        assert reply.headers["retry-after"] == "7"


def test_a_stream_that_breaks_off_says_so(make_gateway: Callable[..., RunningGateway]) -> None:
    with generator("begun", breaks=True) as url:
        gateway = make_gateway(f"gateway.generator_url={url}")
        streamed = gateway.client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    assert events[:2] == ["begun0", "begun1"]
    error = json.loads(events[2])["error"]
    assert "the generator's answer broke off" in error["message"]


def test_models_and_errors_have_openais_form(gateway: RunningGateway) -> None:
    listed = get(gateway, "/v1/models")["data"][0]
    assert get(gateway, f"/v1/models/{listed['id']}") == listed
    assert get(gateway, "/v1/models/policy")["id"] == "policy"
    for path, status in (("/v1/models/gpt-4", 404), ("/v1/models/a/b", 404), ("/v1/files", 404)):
        reply = gateway.client.get(path)
        error = reply.json()["error"]
        assert reply.status_code == status
        assert error["message"] == reply.json()["detail"]
        assert set(error) == {"message", "type", "param", "code"}
    assert "error" not in gateway.client.get("/v1/prompts/none").json()


def test_a_generators_refusal_is_passed_on(make_gateway: Callable[..., RunningGateway]) -> None:
    with generator("never", fail=True) as url:
        gateway = make_gateway(f"gateway.generator_url={url}")
        reply = gateway.client.post("/v1/chat/completions", json=CHAT)
        assert (reply.status_code, reply.json()["detail"]) == (422, "too long")


def test_a_checkpoint_needs_a_trainer(gateway: RunningGateway) -> None:
    reply = gateway.client.post("/v1/control/checkpoint")
    assert reply.status_code == 503
    assert "no trainer is alive" in reply.json()["detail"]


@pytest.mark.parametrize("module", ["services.gateway.process", "vapo.model.text.tokenizer", "services.gateway.scores"])
def test_no_torch(module: str) -> None:
    code = f"import sys, {module}\nprint([name for name in ('torch', 'transformers', 'vllm') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v1/rollouts?step=3", "state, purpose"),
        ("/v1/rollouts?limit=3&state=dead&Task=a", "task"),
        ("/v1/metrics/history?before=3", "after_step"),
        ("/v1/metrics?last=3", "none"),
        ("/v1/evaluations?dataset=a", "none"),
        ("/v1/dead-letters?reason=x", "known are"),
        ("/v1/events?from=0", "after"),
        ("/v1/fleet?part=value", "none"),
    ],
)
def test_a_filter_that_a_list_does_not_have_is_refused(gateway: RunningGateway, path: str, known: str) -> None:
    reply = gateway.client.get(path)
    assert reply.status_code == 422
    assert "unknown parameter" in reply.json()["detail"]
    assert known in reply.json()["detail"]
