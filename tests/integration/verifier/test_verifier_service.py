"""The verifier as a process: real HTTP, real Redis, hostile input, SIGKILL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import psutil
import pytest

from tests.support.ledger_records import generated, task
from tests.support.liveness import alive
from tests.support.parts import Part, Parts
from tests.support.waiting import wait_until
from vapo.ledger import Ledger
from vapo.ledger.keys import Stage

HOSTILE = [r"\boxed{x+(3^{99999})^{99999}}", r"\boxed{\int_0^{\pi} \sin(x^5) e^{x^7} dx}"]


@pytest.fixture
def time_limit() -> int:
    """Seconds for one judgement; a test may ask for others."""
    return 2


@pytest.fixture
def verifier(parts: Parts, time_limit: int) -> Part:
    limits = f"verifier.time_limit_seconds={time_limit}", "verifier.queue_limit=40"
    return parts.start("services.verifier", *limits)


@pytest.fixture
def client(verifier: Part) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=verifier.url, timeout=60) as client:
        yield client


def test_requests_are_judged_in_order_and_bad_ones_refused(client: httpx.Client) -> None:
    items = [{"response": rf"\boxed{{{k}}}", "reference": str(k % 3)} for k in range(6)]
    items.append({"response": r"\boxed{1+x}", "reference": "x+1"})
    verdicts = client.post("/v1/verify", json={"items": items}).json()["verdicts"]
    assert [one["verdict"] for one in verdicts] == ["correct"] * 3 + ["wrong"] * 3 + ["correct"]
    assert [one["reward"] for one in verdicts] == [1.0] * 3 + [-1.0] * 3 + [1.0]
    assert verdicts[4]["extracted"] == "4"

    single = {"response": "it is 5", "reference": "5", "verifier": "exact"}
    assert client.post("/v1/verify", json=single).json()["verdicts"][0]["verdict"] == "no_answer"

    refused = {
        422: [
            {"json": {"response": "5"}},
            {"json": {**single, "verifier": "poetry"}},
            {"json": {**single, "colour": "red"}},
            {"json": {"items": []}},
            {"json": []},
        ],
        400: [
            {"content": b'{"response": "\xff\xfe", "reference": "5"}', "headers": {"content-type": "application/json"}}
        ],
        413: [{"content": b"x" * (17 * 2**20)}, {"json": {"items": [single] * 41}}],
    }
    for status, bodies in refused.items():
        for body in bodies:
            answer = client.post("/v1/verify", **body)
            assert answer.status_code == status, (body, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/verifiers").json()["default"] == "math"
    assert 'vapo_verifier_verdicts_total{fault="",verdict="correct"}' in client.get("/metrics").text


# Long enough that a busy machine parses the reference in it, and that the others are answered while
# both workers are held.
@pytest.mark.parametrize("time_limit", [6])
def test_hostile_requests_do_not_disturb_others_and_the_queue_is_bounded(client: httpx.Client) -> None:
    def post(response: str, count: int = 1) -> httpx.Response:
        items = [{"response": response, "reference": r"\sqrt{3}"}] * count
        return client.post("/v1/verify", json={"items": items})

    assert post(r"\boxed{\sqrt 3}").json()["verdicts"][0]["verdict"] == "correct"
    with ThreadPoolExecutor(2) as threads:
        hostile = [threads.submit(post, response, 1) for response in HOSTILE]
        wait_until(lambda: post("no box", 39).status_code == 429)
        for k in range(50):
            body = {"response": rf"\boxed{{{k}}}", "reference": str(k)}
            answer = client.post("/v1/verify", json=body)
            assert answer.json()["verdicts"][0]["verdict"] == "correct"
        full = post("no box", 39)
        assert not any(one.done() for one in hostile), "the others waited for the hostile ones"
        assert full.status_code == 429
        assert full.headers["retry-after"] == "1"
        verdicts = [answer.result().json()["verdicts"][0] for answer in hostile]
    assert [verdict["verdict"] for verdict in verdicts] == ["timeout", "timeout"]
    assert [verdict["reward"] for verdict in verdicts] == [-1.0, -1.0]
    odd = client.post("/v1/verify", json={"response": "\\boxed{\u202e\x00x}", "reference": "x"})
    assert odd.json()["verdicts"][0]["verdict"] == "correct"
    lone = b'{"response": "\\\\boxed{\\ud800}", "reference": "x"}'
    answer = client.post("/v1/verify", content=lone, headers={"content-type": "application/json"})
    assert answer.status_code == 200


def test_a_format_pattern_that_hangs_stops_nobody(parts: Parts, ledger: Ledger) -> None:
    """It is matched where it can be killed; what is not matched in time is not well formed.

    The limit is long enough for a busy machine to match the others in it.
    """
    part = parts.start(
        "services.verifier",
        "verifier.time_limit_seconds=6",
        "verifier.format_reward=0.5",
        "verifier.format_pattern=^(a+)+$|^good",
    )
    endless = "a" * 60 + r" \boxed{2}"
    texts = [r"good \boxed{2}", r"good \boxed{3}", endless, r"bad \boxed{2}", r"good \boxed{1+1}"]
    ids = submit(ledger, len(texts), lambda number: texts[number])
    wait_until(lambda: ledger.depths()["verified"] == len(texts))
    verdicts = [ledger.rollout(rollout_id).verdict for rollout_id in ids]  # type: ignore[union-attr]
    rewards = [1.5, -0.5, 1.0, 1.0, 1.5]
    assert [verdict.reward for verdict in verdicts if verdict] == rewards
    with httpx.Client(base_url=part.url, timeout=60) as client:
        items = [{"response": text, "reference": "2"} for text in texts]
        answers = client.post("/v1/verify", json={"items": items}).json()["verdicts"]
        assert [answer["reward"] for answer in answers] == rewards
        assert "vapo_verifier_format_timeouts_total 2.0" in client.get("/metrics").text


def submit(ledger: Ledger, count: int, text: Callable[[int], str], answer: str = "2") -> list[str]:
    ids = []
    for number in range(count):
        ledger.submit([replace(task(f"t{number}", samples=1), answer=answer)])
        ledger.record_generated(f"t{number}", 0, generated(text=text(number)))
        ids.append(f"t{number}.0")
    return ids


@pytest.mark.usefixtures("verifier")
def test_rollouts_move_on_with_their_verdicts(ledger: Ledger) -> None:
    texts = [r"\boxed{2}", r"\boxed{3}", "2", r"\boxed{\sqrt{4}}", *HOSTILE]
    ids = submit(ledger, len(texts), lambda number: texts[number])
    wait_until(lambda: ledger.depths()["verified"] == len(texts))
    verdicts = [ledger.rollout(rollout_id).verdict for rollout_id in ids]  # type: ignore[union-attr]
    names = [verdict.verdict for verdict in verdicts if verdict]
    assert names == ["correct", "wrong", "no_answer", "correct", "timeout", "timeout"]
    assert [verdict.reward for verdict in verdicts if verdict] == [1, -1, -1, 1, -1, -1]


@pytest.mark.usefixtures("verifier")
def test_the_names_of_its_verifiers_are_announced_in_the_fleet(ledger: Ledger) -> None:
    wait_until(lambda: bool(ledger.fleet.members("verifier")))
    [member] = ledger.fleet.members("verifier")
    assert {"exact", "math"} <= set(member.details["verifiers"])


@pytest.mark.usefixtures("verifier")
def test_a_bad_reference_drops_and_an_unknown_verifier_buries_a_rollout(ledger: Ledger) -> None:
    submit(ledger, 1, lambda _: r"\boxed{2}", answer=r"\boxed{}")
    ledger.submit([replace(task("poem", samples=1), verifier="poetry")])
    ledger.record_generated("poem", 0, generated())
    wait_until(lambda: ledger.depths()["dead"] == 1)
    wait_until(lambda: ledger.rollout("t0.0").dropped is not None)  # type: ignore[union-attr]
    rollout = ledger.rollout("t0.0")
    assert rollout is not None
    assert rollout.verdict is not None
    assert (rollout.verdict.verdict, rollout.verdict.reward) == ("error", None)
    assert rollout.dropped == "verdict_error"
    assert ledger.depths()["verified"] == 0


@pytest.mark.slow
def test_sigkill_in_the_middle_loses_nothing_and_verifies_each_once(parts: Parts, ledger: Ledger) -> None:
    count = 1000
    ids = submit(ledger, count, lambda number: rf"\boxed{{{number}+x}}", answer="x+7")
    first = parts.launch("services.verifier", "ledger.lease_seconds=2")
    wait_until(lambda: ledger.depths()["verified"] > 5, 60)
    process = psutil.Process(first.process.pid)
    workers = process.children()
    process.kill()
    assert ledger.depths()["verified"] < count
    parts.start("services.verifier", "ledger.lease_seconds=2")
    wait_until(lambda: ledger.depths()["verified"] == count, 120)
    entries = ledger.redis.xrange(ledger.keys.stream(Stage.VERIFIED))
    assert sorted(fields[b"id"].decode() for _, fields in entries) == sorted(ids)
    assert ledger.counters()["verdict"] == count
    correct = [rollout for rollout in ledger.rollouts(ids) if rollout and rollout.verdict and rollout.verdict.correct]
    assert [rollout.id for rollout in correct] == ["t7.0"]
    gone, _ = psutil.wait_procs(workers, timeout=5)
    assert len(gone) == len(workers)


def test_sigterm_ends_it_cleanly_and_it_leaves_the_fleet(verifier: Part, ledger: Ledger) -> None:
    wait_until(lambda: len(ledger.fleet.members("verifier")) == 1)
    pid = verifier.process.pid
    assert pid is not None
    children = psutil.Process(pid).children(recursive=True)
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: verifier.process.exit_status() is not None, 10)
    assert time.monotonic() - started < 8
    assert ledger.fleet.members("verifier") == []
    assert not any(alive(child) for child in children)
