"""The generator's small pure parts: seeds, prompts, request bodies, canary, file headers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from services.generator.engine.engine_options import EngineMissing, check_device
from services.generator.engine.merged import merged
from services.generator.engine.vllm_engine import GenerationInterrupted, RequestRefused
from services.generator.openai.log_probs import LOWEST, Tokens, chat_log_probs, completion_log_probs
from services.generator.openai.openai_bodies import ChatRequest, CompletionRequest
from services.generator.openai.openai_handler import begun, turn_of
from services.generator.prompts import PromptError, check_prompt
from services.generator.request_bodies import GenerateRequest, sampling_of
from services.generator.sample_seeds import sample_seed
from services.generator.weight_shapes import base_shapes, check_complete
from vapo.service.problem_details import Problem
from vapo.settings import SamplingSettings
from vapo.settings.sampling_bounds import MAX_SEED
from vapo.weights import WeightsError
from vapo.weights.canary import CANARY_TOKENS, canary_difference, canary_token_ids


def test_the_cuda_build_without_a_gpu_says_so() -> None:
    with pytest.raises(EngineMissing, match="finds no GPU"):
        check_device(on_cpu=False, device_type="")
    check_device(on_cpu=False, device_type="cuda")
    check_device(on_cpu=True, device_type="cpu")


def test_every_sample_has_a_seed_of_its_own_and_always_the_same() -> None:
    seeds = {sample_seed(run, task, sample) for run in (0, 1) for task in ("a", "a1", "b") for sample in range(64)}
    assert len(seeds) == 2 * 3 * 64
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert sample_seed(7, "task", 3) == sample_seed(7, "task", 3)


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ([], "empty"),
        ([1] * 16, "by at least 1"),
        ([1] * 20, "by at least 5"),
        ([5, 99], "token id 99"),
        ([-1], "token id -1"),
    ],
)
def test_prompts_that_cannot_be_answered_are_refused(prompt: list[int], complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        check_prompt(prompt, context_tokens=16, vocabulary_size=99)


def test_a_prompt_may_leave_room_for_a_single_token() -> None:
    check_prompt([98] * 15, context_tokens=16, vocabulary_size=99)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"suffix": "!"}, "left to right"),
        ({"temprature": 1}, "temprature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, r"\bn\b"),
        ({"best_of": 2}, "use n"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"stop": [""]}, "stop string is empty"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"n": 128, "prompt": ["a"] * 9}, "1024 responses"),
    ],
)
def test_fields_that_are_not_served_are_refused_by_name(extra: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CompletionRequest.model_validate({"prompt": "1+1=", **extra})


def test_neutral_values_that_clients_send_are_taken() -> None:
    body = ChatRequest.model_validate(
        {
            "model": "policy",
            "messages": [{"role": "user", "content": "1+1=?"}],
            "user": "me",
            "presence_penalty": 0,
            "frequency_penalty": 0.0,
            "n": 1,
            "stop": "\n",
            "tools": [],
            "logprobs": False,
            "temperature": None,
            "logit_bias": {},
            "stream_options": None,
        }
    )
    assert body.stop == ["\n"]
    assert body.ranked is None


@pytest.mark.parametrize(
    ("written", "prompts"),
    [
        ("1+1=", ["1+1="]),
        ([5, 6], [[5, 6]]),
        (["a", "b"], ["a", "b"]),
        ([[5, 6], [7]], [[5, 6], [7]]),
        (["a", [5]], ["a", [5]]),
    ],
)
def test_a_prompt_may_be_a_text_token_ids_or_a_list_of_either(written: object, prompts: list[object]) -> None:
    assert CompletionRequest.model_validate({"prompt": written}).prompt == prompts


@pytest.mark.parametrize("written", [[], {}, 5, [5, "a"], [[5], 6], [5.5], [True], [["a"]]])
def test_a_prompt_that_is_neither_is_refused_in_plain_words(written: object) -> None:
    with pytest.raises(ValidationError, match="token id"):
        CompletionRequest.model_validate({"prompt": written})


def test_a_message_may_be_written_in_parts() -> None:
    parts = [{"type": "text", "text": "1+"}, {"type": "text", "text": "1=?"}]
    body = ChatRequest.model_validate({"messages": [{"role": "user", "content": parts}]})
    assert body.messages[0].content == "1+1=?"


def test_a_developer_speaks_as_the_system_which_templates_know() -> None:
    said = [
        {"role": role, "content": "be brief", "name": None} for role in ("developer", "system", "user", "assistant")
    ]
    body = ChatRequest.model_validate({"messages": said})
    turns = list(map(turn_of, body.messages))
    assert [turn["role"] for turn in turns] == ["system", "system", "user", "assistant"]
    assert all(set(turn) == {"role", "content"} for turn in turns)


@pytest.mark.parametrize(
    "content", [[{"type": "image_url", "image_url": {"url": "data:"}}], [{"type": "text"}], [5], 5, None, {}]
)
def test_a_message_that_is_no_text_is_refused(content: object) -> None:
    with pytest.raises(ValidationError, match="content"):
        ChatRequest.model_validate({"messages": [{"role": "user", "content": content}]})


def test_log_probs_name_the_token_first_and_hold_no_infinity() -> None:
    tokens = Tokens([2, 1], [{2: -3.0, 1: -0.1, 3: -math.inf}, {1: -0.2, 2: -2.0}])
    content = chat_log_probs(tokens, 2, str)["content"]
    assert [(one["token"], one["logprob"]) for one in content] == [("[2]", -3.0), ("[1]", -0.2)]
    assert [[top["token"] for top in one["top_logprobs"]] for one in content] == [["[1]", "[2]"], ["[1]", "[2]"]]
    told = completion_log_probs(Tokens([7, *tokens.token_ids], [{}, *tokens.positions]), 3, str)
    assert told["token_logprobs"] == [None, -3.0, -0.2]
    assert told["top_logprobs"][:2] == [None, {"[2]": -3.0, "[1]": -0.1, "[3]": LOWEST}]
    assert told["text_offset"] == [0, 3, 6]


async def test_what_fails_before_a_stream_has_a_status_and_later_an_event() -> None:
    async def failing(events: int, error: Exception) -> AsyncIterator[str]:
        for number in range(events):
            yield f"data: {number}\n\n"
        raise error

    with pytest.raises(Problem, match="the engine refuses the request: too hot") as refusal:
        await begun(failing(0, RequestRefused("too hot")))
    assert refusal.value.status == 422
    stream = await begun(failing(1, GenerationInterrupted("a load failed")))
    said = [str(event) async for event in stream.body_iterator]
    assert said[0] == "data: 0\n\n"
    assert json.loads(said[1].removeprefix("data: "))["error"]["message"] == "a load failed"
    assert len(said) == 2


async def test_streams_merge_and_the_first_to_fail_ends_them_all() -> None:
    ended: list[str] = []

    async def counting(name: str, last: int) -> AsyncIterator[str]:
        try:
            for number in range(last):
                yield f"{name}{number}"
                await asyncio.sleep(0)
        finally:
            ended.append(name)

    async def failing() -> AsyncIterator[str]:
        yield "f0"
        raise ValueError("broken")

    whole = [item async for item in merged([counting("a", 3), counting("b", 2)])]
    assert [text for number, text in whole if number == 0] == ["a0", "a1", "a2"]
    assert len(whole) == 5
    with pytest.raises(ValueError, match="broken"):
        [item async for item in merged([counting("endless", 10**9), failing()])]
    assert ended == ["b", "a", "endless"]


def test_sampling_takes_the_runs_settings_where_the_body_is_silent() -> None:
    defaults = SamplingSettings(temperature=0.8, top_p=0.9, max_new_tokens=100)
    body = GenerateRequest(prompt_token_ids=[1], seed=MAX_SEED, n=2)
    sampling = sampling_of(body, None, defaults, room=40, sample=1)
    assert (sampling.temperature, sampling.top_p, sampling.max_new_tokens) == (0.8, 0.9, 40)
    assert sampling.seed == 0
    greedy = sampling_of(GenerateRequest(prompt_token_ids=[1], temperature=0), 7, defaults, 40)
    assert (greedy.temperature, greedy.max_new_tokens, greedy.seed) == (0.0, 7, None)


@pytest.mark.parametrize("vocabulary_size", [2, 99, 151_936])
def test_canary_tokens_are_fixed_and_in_the_vocabulary(vocabulary_size: int) -> None:
    tokens = canary_token_ids(vocabulary_size)
    assert len(tokens) == CANARY_TOKENS
    assert tokens == canary_token_ids(vocabulary_size)
    assert all(0 <= token < vocabulary_size for token in tokens)
    assert len(set(tokens)) > min(vocabulary_size, CANARY_TOKENS) // 2


def test_canary_difference_is_a_mean_and_never_hides_a_nan() -> None:
    assert canary_difference([-1.0, -2.0], [-1.5, -2.0]) == pytest.approx(0.25)
    assert canary_difference([-1.0], [math.nan]) == math.inf
    assert canary_difference([-1.0], [-1.0, -2.0]) == math.inf
    assert canary_difference([], []) == math.inf


def test_a_publication_must_hold_all_of_the_model(tmp_path: Path) -> None:
    actor = tmp_path / "actor.safetensors"
    sizes = {
        "vocab_size": 4,
        "hidden_size": 2,
        "intermediate_size": 2,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    tied = {"model_type": "llama", **sizes, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(tied))
    expected = base_shapes(tmp_path)
    weights = {name: np.zeros(shape, np.float32) for name, shape in expected.items()}
    assert "lm_head.weight" not in expected
    save_file(weights, actor)
    check_complete(actor, expected)
    embedding = "model.embed_tokens.weight"
    save_file({**weights, embedding: np.zeros((4, 3), np.float32)}, actor)
    with pytest.raises(WeightsError, match=r"embed_tokens\.weight has shape"):
        check_complete(actor, expected)
    save_file({name: tensor for name, tensor in weights.items() if name != embedding}, actor)
    with pytest.raises(WeightsError, match="lacks 1 tensors"):
        check_complete(actor, expected)
    actor.write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="not a readable"):
        check_complete(actor, expected)
