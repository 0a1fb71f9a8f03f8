"""Prompts get the token ids that transformers gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from vapo.model.text.tokenizer import TokenizerError, load_tokenizer, tokenizer_fingerprint

CHAIN_BASE = Path("vapo/assets/chain-base")
CHATML = (
    "{%- for message in messages %}"
    "{%- if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' + message.role) }}{%- endif %}"
    "{{- '<s>' + message.role + '\n' + message.content | trim + '</s>' + '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<s>assistant\n' }}{%- endif %}"
)
CONVERSATION = [{"role": "system", "content": "add"}, {"role": "user", "content": " 1+1 "}]


def make_folder(folder: Path, **settings: Any) -> Path:
    """A character tokenizer that adds a beginning-of-sequence token, and a model description."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789+= \n?"))
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "<unk>", *letters])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**words, **settings}))
    config = {"model_type": "llama", "vocab_size": 64, "max_position_embeddings": 128}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_conversation_is_rendered_as_transformers_does(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", chat_template=CHATML)
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    expected = theirs.apply_chat_template(CONVERSATION, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert ours.encode_messages(CONVERSATION) == expected
    assert ours.encode_prompt("1+1") == theirs.apply_chat_template(
        CONVERSATION[1:], add_generation_prompt=True, tokenize=True, return_dict=False
    )


def test_raw_text_gets_the_tokens_the_tokenizer_adds(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", chat_template=CHATML)
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.encode_prompt("1+1=?", raw=True) == theirs("1+1=?")["input_ids"]
    assert ours.encode_prompt("1+1=?", raw=True)[0] == 0
    plain = load_tokenizer(make_folder(tmp_path / "plain"))
    assert plain.encode_prompt("1+1=?") == ours.encode_prompt("1+1=?", raw=True)


def test_the_shipped_model() -> None:
    ours, theirs = load_tokenizer(CHAIN_BASE), AutoTokenizer.from_pretrained(CHAIN_BASE)
    text = "58+48-29=?"
    assert ours.encode_prompt(text) == theirs(text)["input_ids"]
    assert ours.decode(ours.encode_prompt(text)) == text
    assert ours.vocabulary_size == len(theirs)
    assert ours.end_of_sequence_ids == (theirs.eos_token_id,)


def test_named_templates_and_template_files(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "abc"}]
    folder = make_folder(tmp_path / "m", chat_template=named)
    assert load_tokenizer(folder).decode(load_tokenizer(folder).encode_prompt("x")).replace(" ", "") == "abc"
    (folder / "chat_template.jinja").write_text("def")
    again = load_tokenizer(folder)
    assert again.decode(again.encode_prompt("x")).replace(" ", "") == "def"


def test_what_ends_a_response(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    assert load_tokenizer(folder).end_of_sequence_ids == (1,)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 5]}')
    assert load_tokenizer(folder).end_of_sequence_ids == (1, 5)


def test_the_fingerprint_names_the_tokenizer(tmp_path: Path) -> None:
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    assert tokenizer_fingerprint(first) == tokenizer_fingerprint(second)
    assert load_tokenizer(first).fingerprint == tokenizer_fingerprint(first)
    text = (second / "tokenizer.json").read_text()
    (second / "tokenizer.json").write_text(text.replace('"+"', '"*"'))
    assert tokenizer_fingerprint(first) != tokenizer_fingerprint(second)


def test_messages_the_template_or_model_cannot_take(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", chat_template=CHATML)
    with pytest.raises(TokenizerError, match="unknown role robot"):
        load_tokenizer(folder).encode_messages([{"role": "robot", "content": "x"}])
    with pytest.raises(TokenizerError, match="no chat template"):
        load_tokenizer(make_folder(tmp_path / "plain")).encode_messages(CONVERSATION)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{% for message in messages %}",
        "{{ messages.append(1) }}",
        "{{ messages[0].content.nothing.at.all }}",
    ],
)
def test_a_harmful_or_broken_template_is_refused(tmp_path: Path, template: str) -> None:
    folder = make_folder(tmp_path / "m", chat_template=template)
    with pytest.raises(TokenizerError, match="template"):
        load_tokenizer(folder).encode_messages([{"role": "user", "content": "x"}])


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="malformed"):
        load_tokenizer(tmp_path)
