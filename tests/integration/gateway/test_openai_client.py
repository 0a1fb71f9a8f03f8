"""The official OpenAI client against a gateway with a real generator behind it."""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from openai import OpenAI
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from services.generator.openai.openai_bodies import ChatRequest, CompletionRequest
from tests.support.parameter_table import Call, Parameter, parameters
from tests.support.running_gateway import RunningGateway
from tests.support.tiny_generator import TinyGenerator, tiny_settings
from tests.support.tiny_models import log_probs_of, tiny_tokenizer
from vapo.local.private_redis import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

TOKEN = "a-token-of-a-user-of-this-run"
TABLE = parameters()
MESSAGES: Any = [{"role": "user", "content": "12+34=?"}]
SPECIAL = ("<pad>", "<bos>", "<eos>")
REFUSALS = (openai.UnprocessableEntityError, openai.NotFoundError)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory, redis_server: PrivateRedis) -> Iterator[TinyGenerator]:
    """A running generator that asks for tokens."""
    folder = tmp_path_factory.mktemp("openai")
    tokens = {
        f"{scope}_token": TOKEN if scope == "user" else f"{TOKEN}-{scope}" for scope in ("user", "service", "admin")
    }
    settings = tiny_settings(folder, redis_server.settings, f"test-{uuid.uuid4().hex[:12]}", security=tokens)
    generator = TinyGenerator(folder, settings)
    try:
        generator.start()
        yield generator
    finally:
        generator.stop()


@pytest.fixture(scope="module")
def gateway(generator: TinyGenerator) -> Iterator[RunningGateway]:
    """A gateway that finds the generator in the fleet."""
    with RunningGateway(generator.settings) as gateway:
        deadline = time.monotonic() + 20
        while not any(one.state == "READY" for one in gateway.ledger.fleet.members("generator")):
            assert time.monotonic() < deadline, "the generator is not READY in the fleet"
            time.sleep(0.05)
        yield gateway


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0, timeout=60) as client:
        yield client


def ask(client: OpenAI, call: Call, **body: Any) -> Any:
    """A short answer; ``body`` stands over the defaults."""
    if call == "chat":
        return client.chat.completions.create(
            model="policy", messages=MESSAGES, max_tokens=body.pop("max_tokens", 4), extra_body=body
        )
    return client.completions.create(
        model="policy", prompt="12+34=", max_tokens=body.pop("max_tokens", 4), extra_body=body
    )


def examples(chosen: Callable[[Parameter], tuple[Any, ...]]) -> list[Any]:
    """Each example value of each row, with a name to find it by."""
    return [
        pytest.param(call, row.name, value, id=f"{call}-{row.name}-{number}")
        for row in TABLE
        for call in row.calls
        for number, value in enumerate(chosen(row))
    ]


@pytest.mark.parametrize(("call", "name", "value"), examples(lambda row: row.takes))
def test_the_documented_table_is_taken_at_its_word(client: OpenAI, call: Call, name: str, value: Any) -> None:
    if name == "max_completion_tokens":
        assert ask(client, call, max_tokens=None, max_completion_tokens=value).choices
    elif name == "stream_options":
        assert ask(client, call, stream_options=value).choices
    else:
        assert ask(client, call, **{name: value}).choices


@pytest.mark.parametrize(("call", "name", "value"), examples(lambda row: row.refuses))
def test_the_documented_table_refuses_by_name(client: OpenAI, call: Call, name: str, value: Any) -> None:
    with pytest.raises(REFUSALS) as refusal:
        ask(client, call, **{name: value})
    error = refusal.value
    document = error.response.json()
    assert error.message == f"Error code: {error.status_code} - {document['detail']}"
    assert (error.type, error.code) == (document["error"]["type"], document["error"]["code"])
    places = (str(error.param), error.message)
    assert any(name.removeprefix("max_completion_") in place or "token" in place for place in places), places


@pytest.mark.parametrize(
    ("call", "create", "model"),
    [
        ("chat", chat_create_params.CompletionCreateParamsBase, ChatRequest),
        ("completions", completion_create_params.CompletionCreateParamsBase, CompletionRequest),
    ],
)
def test_the_table_is_complete(call: Call, create: Any, model: Any) -> None:
    documented = {row.name for row in TABLE if call in row.calls}
    assert set(create.__annotations__) | {"stream"} <= documented
    assert set(model.model_fields) == documented


def test_models_are_listed_and_found_by_any_name(client: OpenAI) -> None:
    [listed] = client.models.list().data
    assert listed.id == "model"
    for name in (listed.id, "policy"):
        assert client.models.retrieve(name).id == name
        assert client.completions.create(model=name, prompt="1+1=", max_tokens=1).choices
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4' here") as refusal:
        client.models.retrieve("gpt-4")
    assert (refusal.value.param, refusal.value.code) == ("model", "model_not_found")


def test_every_refusal_reaches_the_user_in_words(client: OpenAI, gateway: RunningGateway) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="10000 new tokens do not fit"):
        ask(client, "chat", max_tokens=10000)
    with pytest.raises(openai.UnprocessableEntityError, match="temprature: is no field") as refusal:
        ask(client, "chat", temprature=1)
    assert refusal.value.param == "temprature"
    with pytest.raises(openai.UnprocessableEntityError, match=r"the prompt has .* shorten it"):
        ask(client, "completions", prompt="1" * 5000)
    with pytest.raises(openai.NotFoundError, match="no POST /v1/embeddings here"):
        client.embeddings.create(model="policy", input="1+1=")
    with pytest.raises(openai.NotFoundError, match="no POST /v1/responses here"):
        client.responses.create(model="policy", input="1+1=")
    with pytest.raises(openai.AuthenticationError, match="a bearer token with user scope"):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.APIStatusError, match="larger than") as refusal_of_size:
        ask(client, "completions", prompt="1" * (gateway.settings.gateway.max_body_bytes + 1))
    assert refusal_of_size.value.status_code == 413


def test_without_a_generator_it_says_so(redis_server: PrivateRedis, generator: TinyGenerator) -> None:
    alone = generator.settings.run.model_copy(update={"name": f"test-{uuid.uuid4().hex[:12]}"})
    with (
        RunningGateway(generator.settings.model_copy(update={"run": alone})) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match="no generator is READY"),
    ):
        ask(client, "chat")


def test_prompts_are_answered_in_order_each_n_times(client: OpenAI) -> None:
    prompts = ["12+34=", "7+8=", tiny_tokenizer().encode("12+34=")]
    body: Any = {"model": "policy", "seed": 3, "max_tokens": 6, "n": 2}
    together = client.completions.create(prompt=prompts, **body)  # type: ignore[arg-type]
    assert [choice.index for choice in together.choices] == list(range(6))
    alone = [client.completions.create(prompt=prompt, **body) for prompt in prompts[:2]]
    texts = [choice.text for answer in alone for choice in answer.choices]
    assert [choice.text for choice in together.choices] == texts + texts[:2]
    assert together.usage.prompt_tokens == 6 + 4 + 6


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_echoed_prompt_has_the_models_log_probs_as_lm_eval_asks_for_them(
    client: OpenAI, generator: TinyGenerator, max_tokens: int
) -> None:
    tokens = tiny_tokenizer().encode("12+34=46")
    answer = client.completions.create(
        model="policy",
        prompt=[tokens, tokens[:5]],
        echo=True,
        logprobs=1,
        max_tokens=max_tokens,
        temperature=0,
        seed=1234,
    )
    for choice, prompt in zip(answer.choices, (tokens, tokens[:5]), strict=True):
        told = choice.logprobs
        assert len(told.tokens) == len(prompt) + max_tokens
        assert "".join(told.tokens) == choice.text
        assert told.token_logprobs[0] is None
        np.testing.assert_allclose(
            told.token_logprobs[1 : len(prompt)], log_probs_of(generator.models[0], prompt), atol=1e-4
        )
        for top, own in zip(told.top_logprobs[1:], told.token_logprobs[1:], strict=True):
            assert max(top.values()) >= own
    assert answer.usage.completion_tokens == 2 * max_tokens


def test_chat_log_probs_name_the_likeliest_first(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="policy", messages=MESSAGES, max_tokens=8, temperature=0, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    said = [one.token for one in content if one.token not in SPECIAL]
    assert "".join(said) == answer.choices[0].message.content
    for one in content:
        assert one.top_logprobs[0].token == one.token, "greedy takes the likeliest"
        assert one.logprob == one.top_logprobs[0].logprob
        assert len(one.top_logprobs) == 3
        assert bytes(one.bytes).decode() == one.token


def test_a_narrow_nucleus_leaves_no_infinity_in_the_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="policy", messages=MESSAGES, max_tokens=8, top_p=0.01, logprobs=True, top_logprobs=5
    )
    told = [top.logprob for one in answer.choices[0].logprobs.content for top in one.top_logprobs]
    assert all(math.isfinite(number) for number in told)
    assert min(told) == -9999.0


@pytest.mark.parametrize("echo", [False, True])
def test_completions_stream_what_they_answer_whole(client: OpenAI, echo: bool) -> None:
    body: Any = {
        "model": "policy",
        "prompt": ["12+34=", "7+8="],
        "n": 2,
        "seed": 5,
        "max_tokens": 12,
        "logprobs": 2,
        "echo": echo,
    }
    whole = client.completions.create(**body)
    texts: dict[int, str] = defaultdict(str)
    tokens: dict[int, list[str]] = defaultdict(list)
    offsets: dict[int, list[int]] = defaultdict(list)
    ends: dict[int, str] = {}
    usage = None
    for chunk in client.completions.create(**body, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            tokens[choice.index] += choice.logprobs.tokens
            offsets[choice.index] += choice.logprobs.text_offset
            if choice.finish_reason:
                assert choice.index not in ends
                ends[choice.index] = choice.finish_reason
    assert [texts[choice.index] for choice in whole.choices] == [choice.text for choice in whole.choices]
    for choice in whole.choices:
        assert tokens[choice.index] == choice.logprobs.tokens
        assert offsets[choice.index] == choice.logprobs.text_offset
        assert ends[choice.index] == choice.finish_reason
    assert usage == whole.usage


def test_a_chat_streams_several_answers(client: OpenAI) -> None:
    body: Any = {"model": "policy", "messages": MESSAGES, "n": 3, "seed": 9, "max_tokens": 10}
    whole = client.chat.completions.create(**body)
    said: dict[int, str] = defaultdict(str)
    roles = []
    for chunk in client.chat.completions.create(**body, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
    assert [said[index] for index in range(3)] == [choice.message.content for choice in whole.choices]
    assert roles == ["assistant"] * 3


def test_an_answer_may_be_sent_back_as_the_client_holds_it(client: OpenAI) -> None:
    answer = ask(client, "chat").choices[0].message.model_dump()
    talk: Any = [*MESSAGES, answer, {"role": "user", "content": [{"type": "text", "text": "?"}]}]
    assert client.chat.completions.create(model="policy", messages=talk, max_tokens=2).choices


def test_a_message_without_a_text_is_named_as_that(client: OpenAI) -> None:
    for messages in ([{"role": "user", "content": None}], [{"role": "user"}]):
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, "chat", messages=messages)
        expected = "is null" if "content" in messages[-1] else "Field required"
        assert expected in caught.value.message


def test_steering_steers(client: OpenAI) -> None:
    only = tiny_tokenizer().encode("7")[0]
    answer = ask(client, "completions", logit_bias={str(only): 100}, return_token_ids=True, ignore_eos=True)
    assert answer.choices[0].text == "7777"
    assert answer.choices[0].token_ids == [only] * 4
    assert answer.choices[0].prompt_token_ids == tiny_tokenizer().encode("12+34=")
    greedy = {ask(client, "completions", top_k=1, seed=seed).choices[0].text for seed in range(5)}
    assert greedy == {ask(client, "completions", temperature=0).choices[0].text}
