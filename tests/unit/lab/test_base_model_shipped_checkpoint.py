"""The base checkpoint in the repository: complete, small, and able to do the demo's task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizer

import vapo
from lab.base_model.measurement import measure
from lab.base_model.tokenizer import build_tokenizer
from vapo.demo.chain.problem_sets import problem_set
from vapo.demo.chain.splits import Split
from vapo.demo.problems import HELD_OUT_SEED
from vapo.demo.settings import DemoOptions

FOLDER = Path(vapo.__file__).parent / "assets" / "chain-base"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(FOLDER, local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizer:
    return AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)


def test_files_are_complete_and_small() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
        "README.md",
    } <= set(files)
    assert sum(files.values()) <= 5 * MEBIBYTE


def test_model_form(model: PreTrainedModel, tokenizer: PreTrainedTokenizer) -> None:
    assert model.config.model_type == "qwen3"
    assert not model.config.tie_word_embeddings
    assert model.config.vocab_size == len(tokenizer)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_tokenizer_is_the_one_the_code_builds(tokenizer: PreTrainedTokenizer) -> None:
    text = "".join(tokenizer.convert_ids_to_tokens(range(3, 99)))
    built = build_tokenizer(tokenizer.model_max_length)
    assert tokenizer.get_vocab() == built.get_vocab()
    assert tokenizer(text)["input_ids"] == built(text)["input_ids"]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.slow
def test_it_starts_low_on_the_demos_held_out_set_and_answers_in_the_right_form(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizer
) -> None:
    torch.manual_seed(0)
    problems = problem_set(Split.HELD_OUT, DemoOptions().held_out_problems, HELD_OUT_SEED)
    sampled = measure(model, tokenizer, problems)
    assert 0.02 <= sampled.accuracy <= 0.30
    assert 40 <= sampled.mean_length <= 100
