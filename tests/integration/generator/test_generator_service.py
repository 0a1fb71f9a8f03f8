"""One real generator process: its HTTP endpoints called directly, and its work from the queue."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.support.tiny_generator import CONTEXT_TOKENS, TinyGenerator, tiny_settings
from tests.support.tiny_models import CHARACTERS, log_probs_of, tiny_tokenizer
from tests.support.waiting import wait_until
from vapo.ledger import Ledger
from vapo.local.private_redis import PrivateRedis
from vapo.messages import SamplingOverrides, Task, token_array

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

END = CHARACTERS.index("<eos>")
SECOND_END = CHARACTERS.index("7")
"""An end that only ``generation_config.json`` names, as chat models have one."""
PROMPT = [20, 30, 40]

wait_soon = partial(wait_until, seconds=30)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory, redis_server: PrivateRedis) -> Iterator[TinyGenerator]:
    """A running generator at version 0."""
    folder = tmp_path_factory.mktemp("generator")
    settings = tiny_settings(folder, redis_server.settings, f"test-{uuid.uuid4().hex[:12]}")
    generator = TinyGenerator(folder, settings)
    (folder / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": [END, SECOND_END]}))
    try:
        generator.start()
        yield generator
    finally:
        generator.stop()


@pytest.fixture
def http(generator: TinyGenerator) -> Iterator[httpx.Client]:
    """A client of the generator."""
    with httpx.Client(base_url=generator.url, timeout=60) as client:
        yield client


@pytest.fixture
def ledger(generator: TinyGenerator) -> Iterator[Ledger]:
    """The ledger of the generator's run."""
    ledger = Ledger.open(generator.settings)
    yield ledger
    ledger.redis.close()


def test_generated_log_probs_are_those_of_the_model(generator: TinyGenerator, http: httpx.Client) -> None:
    body = {"prompt_token_ids": PROMPT, "n": 4, "seed": 5, "max_new_tokens": 200}
    answer = http.post("/v1/generate", json=body).raise_for_status().json()
    assert answer["weight_version"] == 0
    assert len({tuple(one["token_ids"]) for one in answer["responses"]}) == 4
    for one in answer["responses"]:
        expected = log_probs_of(generator.models[0], PROMPT + one["token_ids"])[len(PROMPT) - 1 :]
        np.testing.assert_allclose(one["log_probs"], expected, atol=1e-4)
        ended = one["token_ids"][-1] in (END, SECOND_END)
        assert one["finish_reason"] == ("stop" if ended else "length")
        assert one["version_spans"] == [{"version": 0, "start": 0, "end": len(one["token_ids"])}]
    again = http.post("/v1/generate", json=body).json()
    assert [one["token_ids"] for one in again["responses"]] == [one["token_ids"] for one in answer["responses"]]


def test_every_end_of_sequence_the_model_names_ends_a_response_and_is_part_of_it(http: httpx.Client) -> None:
    body = {"prompt_token_ids": PROMPT, "n": 32, "seed": 100, "max_new_tokens": 200}
    responses = http.post("/v1/generate", json=body).raise_for_status().json()["responses"]
    last = {one["token_ids"][-1] for one in responses if one["finish_reason"] == "stop"}
    assert last == {END, SECOND_END}
    for one in responses:
        assert not {END, SECOND_END} & set(one["token_ids"][:-1])
        assert len(one["log_probs"]) == len(one["token_ids"])


def test_log_probs_are_of_the_distribution_really_sampled_from(generator: TinyGenerator, http: httpx.Client) -> None:
    body = {"prompt_token_ids": PROMPT, "seed": 1, "max_new_tokens": 40, "temperature": 0.7, "top_p": 0.5}
    one = http.post("/v1/generate", json=body).raise_for_status().json()["responses"][0]
    tokens = torch.tensor([PROMPT + one["token_ids"]])
    with torch.no_grad():
        logits = generator.models[0](input_ids=tokens).logits[0, len(PROMPT) - 1 : -1] / 0.7
    probabilities = logits.softmax(-1)
    ordered, order = probabilities.sort(descending=True)
    kept = ordered.cumsum(-1) - ordered < 0.5
    masked = torch.zeros_like(probabilities).scatter(-1, order, ordered * kept)
    nucleus = (masked / masked.sum(-1, keepdim=True)).log()
    expected = nucleus.gather(1, tokens[0, len(PROMPT) :, None])[:, 0]
    np.testing.assert_allclose(one["log_probs"], expected.numpy(), atol=1e-4)


def test_completions_in_openai_form(http: httpx.Client) -> None:
    body = {"prompt": "12+34=", "max_tokens": 12, "seed": 3, "n": 2, "model": "policy"}
    answer = http.post("/v1/completions", json=body).raise_for_status().json()
    assert answer["object"] == "text_completion"
    assert answer["model"] == "model"
    assert answer["weight_version"] == 0
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == 6
    assert usage["total_tokens"] == 6 + usage["completion_tokens"]
    ids = tiny_tokenizer().encode("12+34=")
    same = http.post("/v1/completions", json={**body, "prompt": ids}).json()
    assert [choice["text"] for choice in same["choices"]] == [choice["text"] for choice in answer["choices"]]


def test_a_chat_streams_the_text_it_would_answer_whole(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "12+34=?"}], "max_tokens": 30, "seed": 4}
    whole = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    said = whole["choices"][0]["message"]
    assert said["role"] == "assistant"
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with http.stream("POST", "/v1/chat/completions", json=streamed) as stream:
        lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    assert events[-1]["usage"] == whole["usage"]
    pieces = [event["choices"][0] for event in events[:-1]]
    assert "".join(piece["delta"]["content"] for piece in pieces) == said["content"]
    assert pieces[0]["delta"]["role"] == "assistant"
    assert pieces[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert events[-2]["weight_version"] == 0


def test_a_stop_string_at_the_very_start_leaves_no_text(http: httpx.Client) -> None:
    body = {"prompt": "1+1=", "max_tokens": 20, "seed": 3}
    text = http.post("/v1/completions", json=body).json()["choices"][0]["text"]
    cut = http.post("/v1/completions", json={**body, "stop": text[0]}).json()["choices"][0]
    assert (cut["text"], cut["finish_reason"]) == ("", "stop")


def test_stop_strings_end_the_text(http: httpx.Client) -> None:
    body = {"prompt": "1+1=", "max_tokens": 200, "seed": 3}
    text = http.post("/v1/completions", json=body).json()["choices"][0]["text"]
    stop = text[4]
    cut = http.post("/v1/completions", json={**body, "stop": stop}).json()["choices"][0]
    assert cut["text"] == text[: text.index(stop)]
    assert cut["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("path", "body", "status", "complaint"),
    [
        ("generate", {"prompt_token_ids": []}, 422, "empty"),
        ("generate", {"prompt_token_ids": [5, len(CHARACTERS)]}, 422, "vocabulary"),
        ("generate", {"prompt_token_ids": [5, -1]}, 422, "vocabulary"),
        ("generate", {"prompt_token_ids": [5] * CONTEXT_TOKENS}, 422, "shorten"),
        ("generate", {"prompt_token_ids": [5], "max_new_tokens": CONTEXT_TOKENS}, 422, "at most 511"),
        ("generate", {"prompt_token_ids": [5], "max_tokens": 5}, 422, "max_tokens"),
        ("generate", {"prompt_token_ids": ["a"]}, 422, "prompt_token_ids"),
        ("completions", {"prompt": ""}, 422, "empty"),
        ("completions", {"prompt": "1" * 600}, 422, "shorten"),
        ("completions", {"prompt": "1", "logprobs": 30}, 422, "logprobs"),
        ("completions", {"prompt": "1", "n": 10**9}, 422, "n: "),
        ("completions", {"prompt": "1", "stop": [""]}, 422, "stop string is empty"),
        ("completions", {"prompt": "1", "stop": "\ud800"}, 422, "the engine refuses"),
        ("completions", {"prompt": "1", "stop": "\ud800", "stream": True}, 422, "the engine refuses"),
        ("completions", {"prompt": "1", "logit_bias": {"99999": 1}}, 422, "the engine refuses"),
        ("completions", {"prompt": "1", "min_tokens": 9, "max_tokens": 5}, 422, "the engine refuses"),
        ("completions", {"prompt": [[5], [-1]], "echo": True}, 422, "vocabulary"),
        ("completions", {"prompt": "1", "temperature": 2.5}, 422, "temperature"),
        ("chat/completions", {"messages": [{"role": "tool", "content": "?"}]}, 422, "role"),
        ("completions", {"prompt": "1", "model": "gpt-4"}, 404, "no model 'gpt-4'"),
        ("completions", {"prompt": "\ud800"}, 422, "Unicode"),
        ("chat/completions", {"messages": []}, 422, "messages"),
        ("chat/completions", {"messages": [{"role": "robot", "content": "?"}]}, 422, "role"),
        ("chat/completions", {"messages": [{"role": "user", "content": "?"}], "tools": [{}]}, 422, "no tools"),
        ("chat/completions", {"messages": [{"role": "user", "content": "?"}], "\ud800": 1}, 422, "unicode"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": "?"}], "top_n": 1},
            422,
            "top_n: is no field of this request",
        ),
    ],
)
def test_bad_requests_get_a_problem_document(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, complaint: str
) -> None:
    answer = http.post(f"/v1/{path}", content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert complaint in document["detail"]
    if path != "generate":
        assert document["error"]["message"] == document["detail"]
        assert set(document["error"]) == {"message", "type", "param", "code"}


ODD_VALUES = [
    None,
    "",
    "x",
    "\ud800",
    -1,
    0,
    0.5,
    1e308,
    -(10**30),
    True,
    [],
    [[]],
    ["a"],
    [-1],
    [10**30],
    {},
    {"a": None},
]


@pytest.mark.parametrize("name", ["prompt_token_ids", "max_new_tokens", "temperature", "top_p", "n", "seed", "\ud800"])
def test_nothing_odd_makes_a_defect_of_generate(http: httpx.Client, name: str) -> None:
    for value in ODD_VALUES:
        body = {"prompt_token_ids": [5], "max_new_tokens": 2, name: value}
        answer = http.post(
            "/v1/generate", content=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
        assert answer.status_code in (200, 422), (value, answer.text)


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"{", b'{"prompt": "\xc3"}', b"[]"])
def test_bodies_that_are_no_json_objects_are_refused(http: httpx.Client, content: bytes) -> None:
    answer = http.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]["message"] == answer.json()["detail"]
    assert "not JSON" in answer.text or content == b"[]"


def test_health_metrics_and_documentation(http: httpx.Client) -> None:
    assert http.get("/healthz").json()["status"] == "ok"
    assert http.get("/readyz").json() == {"status": "ready"}
    assert "vapo_generator_ready 1.0" in http.get("/metrics").text
    assert "/v1/generate" in http.get("/openapi.json").json()["paths"]


def task(task_id: str, prompt: list[int], samples: int = 4, **fields: Any) -> Task:
    """A task for the queue."""
    return Task(id=task_id, prompt_token_ids=token_array(prompt), prompt="?", answer="2", samples=samples, **fields)


def test_tasks_from_the_queue_become_rollouts(generator: TinyGenerator, ledger: Ledger) -> None:
    ledger.submit([task("plain", PROMPT)])
    ledger.submit([task("own-sampling", PROMPT, sampling=SamplingOverrides(max_new_tokens=5))])
    ledger.submit([task("evaluation", PROMPT, samples=9, purpose="eval", evaluation="e1")])
    wanted = {"plain": 4, "own-sampling": 4, "evaluation": 9}
    wait_soon(lambda: all(ledger.task(name).made == n for name, n in wanted.items()))  # type: ignore[union-attr]
    for name, samples in wanted.items():
        rollouts = ledger.rollouts([f"{name}.{sample}" for sample in range(samples)])
        for rollout in rollouts:
            made = rollout.generated  # type: ignore[union-attr]
            tokens = made.token_ids.tolist()
            expected = log_probs_of(generator.models[0], PROMPT + tokens)[len(PROMPT) - 1 :]
            np.testing.assert_allclose(made.behaviour_log_probs, expected, atol=1e-4)
            assert made.text == tiny_tokenizer().decode(tokens, skip_special_tokens=True)
            assert len(tokens) <= (5 if name == "own-sampling" else 64)
        assert len({tuple(rollout.generated.token_ids) for rollout in rollouts}) == samples  # type: ignore[union-attr]
    wait_soon(lambda: ledger.depths()["tasks"] == ledger.depths()["eval_tasks"] == 0)


@pytest.mark.parametrize(
    ("name", "prompt", "reason"),
    [("too-long", [5] * CONTEXT_TOKENS, "shorten"), ("wrong-tokenizer", [len(CHARACTERS)], "vocabulary")],
)
def test_tasks_that_cannot_be_served_become_dead_letters(
    ledger: Ledger, name: str, prompt: list[int], reason: str
) -> None:
    ledger.submit([task(name, prompt)])
    wait_soon(lambda: any(letter.id == name for letter in ledger.dead_letters.list()))
    letter = next(letter for letter in ledger.dead_letters.list() if letter.id == name)
    assert reason in letter.reason
    assert letter.samples == "0,1,2,3"
    assert ledger.task(name).made == 0  # type: ignore[union-attr]
    ledger.submit([task(f"after-{name}", PROMPT)])
    wait_soon(lambda: ledger.task(f"after-{name}").made == 4)  # type: ignore[union-attr]


def test_what_the_engine_refuses_is_a_dead_letter_with_its_reason_and_no_traceback(
    generator: TinyGenerator, ledger: Ledger
) -> None:
    ledger.submit([task("too-hot", PROMPT, sampling=SamplingOverrides(temperature=3.0))])
    wait_soon(lambda: any(letter.id == "too-hot" for letter in ledger.dead_letters.list()))
    letter = next(letter for letter in ledger.dead_letters.list() if letter.id == "too-hot")
    assert "temperature must be in [0, 2], got 3.0" in letter.reason
    assert letter.samples == "0,1,2,3"
    assert generator.part is not None
    assert "Traceback" not in generator.part.process.log_tail(1000)
    ledger.submit([task("after-too-hot", PROMPT)])
    wait_soon(lambda: ledger.task("after-too-hot").made == 4)  # type: ignore[union-attr]


def test_the_fleet_knows_it(generator: TinyGenerator, ledger: Ledger) -> None:
    wait_soon(lambda: [one.state for one in ledger.fleet.members("generator")] == ["READY"])  # from the next heartbeat
    (member,) = ledger.fleet.members("generator")
    assert member.weight_version == 0
    assert member.url == generator.url
    assert member.details["slots"] == 64
