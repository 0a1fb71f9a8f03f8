from __future__ import annotations

import string
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lab.base_model.tokenizer import build_tokenizer

PRINTABLE = "".join(map(chr, range(32, 127)))


@pytest.fixture
def saved_folder(tmp_path: Path) -> Path:
    build_tokenizer(context_length=512).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def tokenizer(saved_folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(saved_folder, local_files_only=True)


def test_one_token_per_character_and_back(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "58+48=?\n\n  two  spaces\n\\boxed{106}" + PRINTABLE
    token_ids = tokenizer(text)["input_ids"]
    assert len(token_ids) == len(text)
    assert tokenizer.decode(token_ids) == text


def test_vocabulary_and_special_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) == 99
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer.bos_token is None
    assert tokenizer.model_max_length == 512


def test_nothing_is_added_or_lost(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("\n")["input_ids"] == [3]
    assert tokenizer("é\t½")["input_ids"] == [tokenizer.unk_token_id] * 3
    assert tokenizer.convert_ids_to_tokens([4, 98]) == [" ", "~"]
    assert set(string.digits) <= set(tokenizer.get_vocab())


def test_a_chat_turn_is_the_bare_problem(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "58+48=?"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "58+48=?"
