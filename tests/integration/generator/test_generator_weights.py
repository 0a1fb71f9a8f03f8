"""New weights under running requests, on real vLLM, with tied and untied embeddings.

One generator process for each kind serves all tests of this module; every test leaves it READY.
The untied model's folder is one as people publish them, with other files beside the weights.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.support.published_folder import publish_like_others
from tests.support.tiny_generator import TinyGenerator, tiny_settings
from tests.support.tiny_models import log_probs_of, tiny_model
from vapo.local.private_redis import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

CLIENTS, CROSSING, MOST_LOADS = 48, 32, 6
AGREEMENT = 1e-4
LONG_PROMPT = [3 + (7 * position) % 95 for position in range(150)]
"""More than one block of vLLM's prefix cache on CPU (128 tokens)."""


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def generator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: PrivateRedis
) -> Iterator[TinyGenerator]:
    """A running generator at version 0 or later."""
    folder = tmp_path_factory.mktemp("generator")
    settings = tiny_settings(folder, redis_server.settings, f"test-{uuid.uuid4().hex[:12]}")
    generator = TinyGenerator(folder, settings, tied=request.param)
    if not request.param:
        publish_like_others(settings.model.path)
    try:
        generator.start()
        yield generator
    finally:
        generator.stop()


def another_model(generator: TinyGenerator) -> Any:
    """A model of the same form with other weights."""
    tied = generator.models[0].config.tie_word_embeddings
    return tiny_model(seed=100 + generator.newest, tied=tied)


async def _client(client: httpx.AsyncClient, number: int, over: asyncio.Event, answers: list[dict[str, Any]]) -> None:
    turn = 0
    while not over.is_set():
        prompt = [3 + (number + position) % 95 for position in range(8)]
        body = {"prompt_token_ids": prompt, "max_new_tokens": 400, "seed": 1000 * number + turn}
        answer = await client.post("/v1/generate", json=body)
        if answer.status_code == 503 and "Retry-After" in answer.headers:
            await asyncio.sleep(0.05)  # turned away at the door, while there were no proven weights
            continue
        assert answer.status_code == 200, answer.text
        answers.append({"prompt": prompt, **answer.json()["responses"][0]})
        turn += 1


@asynccontextmanager
async def busy(generator: TinyGenerator) -> AsyncIterator[list[dict[str, Any]]]:
    """Clients that keep ``CLIENTS`` requests in flight; the answers are complete on leaving."""
    over, answers = asyncio.Event(), []
    unlimited = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=generator.url, timeout=60, limits=unlimited) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(CLIENTS):
            group.create_task(_client(client, number, over, answers))
        await asyncio.sleep(0.5)
        try:
            yield answers
        finally:
            over.set()


def crossing(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that were in flight during a load."""
    return [answer for answer in answers if len(answer["version_spans"]) > 1]


def expected_log_probs(generator: TinyGenerator, answer: dict[str, Any]) -> list[float]:
    """What each token's version of the weights says of it, by plain transformers forwards."""
    tokens = answer["prompt"] + answer["token_ids"]
    start = len(answer["prompt"]) - 1
    expected = []
    for span in answer["version_spans"]:
        every = log_probs_of(generator.models[span["version"]], tokens)
        expected += every[start + span["start"] : start + span["end"]]
    return expected


def difference(first: list[float], second: list[float]) -> float:
    """Largest absolute difference of two lists of one length."""
    assert len(first) == len(second)
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


async def test_requests_in_flight_survive_new_weights(generator: TinyGenerator) -> None:
    first = generator.newest
    async with busy(generator) as answers:
        # Twice at least; a busy machine may keep the clients from having all their requests in flight.
        while generator.newest < first + 2 or len(crossing(answers)) < CROSSING:
            assert generator.newest < first + MOST_LOADS, "too few requests were in flight during a load"
            generator.publish(another_model(generator))
            await asyncio.to_thread(generator.wait_for_version, generator.newest)
            await asyncio.sleep(0.4)
    for answer in answers:
        spans = answer["version_spans"]
        covered = [position for span in spans for position in range(span["start"], span["end"])]
        assert covered == list(range(len(answer["token_ids"])))
        assert len(answer["log_probs"]) == len(answer["token_ids"])
        versions = [span["version"] for span in spans]
        assert versions == sorted(set(versions))
        assert first <= versions[0] <= versions[-1] <= generator.newest
    crossed = crossing(answers)
    worst = max(difference(expected_log_probs(generator, answer), answer["log_probs"]) for answer in crossed[:40])
    assert worst < AGREEMENT


async def test_the_proof_of_a_load_agrees_with_a_plain_forward(generator: TinyGenerator) -> None:
    manifest = generator.publish(another_model(generator))
    seen = await asyncio.to_thread(generator.wait_for_version, generator.newest)
    proof = seen["proof"]
    plain = log_probs_of(generator.models[generator.newest], proof["canary_token_ids"])
    assert difference(plain, proof["canary_log_probs"]) < AGREEMENT
    assert proof["trainer_difference"] < AGREEMENT
    assert proof["checksum"] == manifest.files["actor.safetensors"].sha256
    assert 0 < proof["timings"]["pause"] + proof["timings"]["load"] < 5


def test_cached_keys_never_serve_other_weights(generator: TinyGenerator) -> None:
    body = {"prompt_token_ids": LONG_PROMPT, "max_new_tokens": 16, "temperature": 0}

    def ask() -> dict[str, Any]:
        answer = httpx.post(f"{generator.url}/v1/generate", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return {"prompt": LONG_PROMPT, **answer.json()["responses"][0]}

    ask()
    assert ask()["cached_prompt_tokens"] >= 128, "the prefix cache is not at work at all"
    generator.publish(another_model(generator))
    generator.wait_for_version(generator.newest)
    after, again = ask(), ask()
    assert after["cached_prompt_tokens"] == 0
    assert again["cached_prompt_tokens"] >= 128
    assert after["token_ids"] == again["token_ids"]
    for answer in (after, again):
        model = generator.models[generator.newest]
        first = log_probs_of(model, LONG_PROMPT + answer["token_ids"])[len(LONG_PROMPT) - 1 :]
        assert answer["version_spans"][0]["version"] == generator.newest
        # Greedy sampling: the log-prob is of a distribution with all its mass on one token, so the
        # choice itself is compared.
        assert len(first) == len(answer["token_ids"])
        assert answer["token_ids"] == greedy(model, len(answer["token_ids"]))


def greedy(model: Any, length: int) -> list[int]:
    """Greedy continuation of the long prompt by plain forwards."""
    import torch

    tokens = list(LONG_PROMPT)
    with torch.no_grad():
        for _ in range(length):
            tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(LONG_PROMPT) :]


@pytest.mark.parametrize(
    "wrong", [{"damage": True}, {"leave_out": "model.layers.1.mlp.up_proj.weight"}], ids=["damaged", "incomplete"]
)
def test_bad_files_are_refused_before_anything_pauses(generator: TinyGenerator, wrong: dict[str, Any]) -> None:
    before = generator.weights()
    generator.publish(another_model(generator), **wrong)
    seen = generator.wait_for(lambda seen: seen["failures"] > before["failures"])
    assert (seen["version"], seen["state"]) == (before["version"], "READY")
    assert seen["loads"] == before["loads"]
    generator.publish(another_model(generator))
    generator.wait_for_version(generator.newest)


@pytest.mark.parametrize("wrong", ["of another model", "not finite"])
async def test_a_load_without_proof_is_taken_back(generator: TinyGenerator, wrong: str) -> None:
    """Responses the bad weights touched begin again; none is lost and none shows their version."""
    model = another_model(generator)
    async with busy(generator) as answers:
        if wrong == "not finite":
            model.model.norm.weight.data[0] = float("nan")
            generator.publish(model)
        else:
            generator.publish(model, canary_of=tiny_model(seed=999))
        bad = generator.newest
        seen = await asyncio.to_thread(generator.wait_for, lambda seen: seen["state"] == "STALE")
        assert seen["version"] < bad
        assert f"version {bad}" in seen["reason"]
        generator.publish(another_model(generator))
        await asyncio.to_thread(generator.wait_for_version, generator.newest)
        await asyncio.sleep(0.3)
    versions = {span["version"] for answer in answers for span in answer["version_spans"]}
    assert bad not in versions
    assert generator.newest in versions
