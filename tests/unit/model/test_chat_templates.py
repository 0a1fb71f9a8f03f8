"""Chat templates of every construct that published models use, against transformers' rendering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Prepend, Replace, Sequence
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer

from tests.unit.model.test_tokenizer import make_folder
from vapo.model.text.chat_template import renderer
from vapo.model.text.tokenizer import TokenizerError, load_tokenizer

GENERATION = (
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "{% generation %}{% set mark = 'x' %}{{ message.content }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ bos_token }}{{ message.role }}: {{ message.content }}\n{% endif %}{% endfor %}"
    "{% if mark is defined %}leaked{% endif %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
THINKING = (
    "{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}"
    "{%- for m in messages %}{{ m['role'] + ' ' + m['content'] }}\n{%- endfor %}"
    "{%- if add_generation_prompt %}{{ 'think' if enable_thinking else 'no think' }}{%- endif %}"
)
TEMPLATES = {
    "generation": GENERATION,
    "dashed generation": GENERATION.replace("{% generation %}", "{%- generation -%}"),
    "thinking": THINKING,
    "loop controls": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}"
    "{% if m.role == 'system' %}{% continue %}{% endif %}"
    "{{ m.content }}{% endfor %}",
    "tojson": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}"
    "{{ {'b': '<é>', 'a': 1} | tojson(sort_keys=true, ensure_ascii=true) }}",
    "undefined": "{{ bos_token is defined }}{{ cls_token is defined }}{{ cls_token }}{{ nothing }}",
    "tools": "{% if tools %}tools{% endif %}{% if tools is none %}none{% endif %}{{ documents is none }}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}{{ messages[-1].content | trim | upper }}",
    "macro": "{% macro turn(m) %}{{ m.role ~ m.content }}{% endmacro %}"
    "{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "slices": "{{ messages[::-1][0]['content'] }}{{ messages[0].content.split(' ')[0] }}"
    "{{ messages[0].content.startswith('a') }}{{ messages | length }}",
    "blocks": "  {% for m in messages %}\n  {{ m.content }}\n  {% endfor %}\n  end\n",
    "date": "{{ strftime_now('%Y') }}",
    "refuses": "{{ raise_exception('never') if messages | length > 99 }}fine",
}
CONVERSATIONS = [
    [{"role": "user", "content": "12 + 3?"}],
    [{"role": "system", "content": "add two"}, {"role": "user", "content": " 1+1 "}],
    [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d\n\ne"}],
]


def rendered_alike(folder: Path, messages: list[dict[str, str]], **arguments: Any) -> None:
    ours, theirs = load_tokenizer(folder, template_arguments=arguments), _theirs(folder)
    text = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **arguments)
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **arguments)
    assert ours.render is not None
    assert ours.render(messages) == text
    assert ours.encode_messages(messages) == ids


def _theirs(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_construct(tmp_path: Path, name: str, messages: list[dict[str, str]]) -> None:
    rendered_alike(make_folder(tmp_path / "m", chat_template=TEMPLATES[name]), messages)


@pytest.mark.parametrize(
    "template",
    [
        "{% if not date is defined %}{% set date = 'today' %}{% endif %}{{ date }}",
        "{% set date = date or 'today' %}{{ date }}",
        "{% set date = date | default('today') %}{{ date }}",
        "{{ date if date is defined else 'today' }}",
        "{% macro show() %}{{ date }}{% endmacro %}{% for m in messages %}{{ show() }}{% endfor %}",
    ],
)
def test_a_name_that_a_template_sets_where_it_is_not_given(tmp_path: Path, template: str) -> None:
    folder = make_folder(tmp_path / "m", chat_template=template)
    rendered_alike(folder, CONVERSATIONS[0], date="26 jul")
    rendered_alike(folder, CONVERSATIONS[0])
    with pytest.raises(TokenizerError, match="does not read m; it reads date"):
        load_tokenizer(folder, template_arguments={"m": 1})


@pytest.mark.parametrize("enable", [True, False])
def test_arguments_reach_the_template(tmp_path: Path, enable: bool) -> None:
    folder = make_folder(tmp_path / "m", chat_template=THINKING)
    rendered_alike(folder, CONVERSATIONS[0], enable_thinking=enable)


def test_an_argument_may_take_the_place_of_a_special_token(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", chat_template="{{ bos_token }}{{ date_string }}")
    rendered_alike(folder, CONVERSATIONS[0], date_string="26 jul")
    with pytest.raises(TokenizerError, match="not read enable_thinking; it reads date_string"):
        load_tokenizer(folder, template_arguments={"enable_thinking": True})
    with pytest.raises(TokenizerError, match="messages is filled in with each prompt"):
        load_tokenizer(folder, template_arguments={"messages": []})
    plain = make_folder(tmp_path / "plain")
    with pytest.raises(TokenizerError, match="has no effect"):
        load_tokenizer(plain, template_arguments={"enable_thinking": True})


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["user", "assistant", "system"]),
                "content": st.text(st.characters(codec="utf-8"), max_size=12),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_conversation(messages: list[dict[str, str]]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    for name in ("generation", "thinking", "tojson", "blocks", "slices"):
        theirs, _ = render_jinja_template(
            [messages], chat_template=TEMPLATES[name], add_generation_prompt=True, **tokens
        )
        assert renderer(TEMPLATES[name], "here", tokens, {})(messages) == theirs[0]


NAMED = [{"name": "rag", "template": "rag {{ messages[0].content }}"}, {"name": "tool_use", "template": "tools"}]


def test_named_templates_without_a_default(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", chat_template=NAMED)
    with pytest.raises(ValueError, match="multiple chat templates with no default"):
        _theirs(folder).apply_chat_template(CONVERSATIONS[0])
    with pytest.raises(TokenizerError, match=r"model\.chat_template_name \(it has rag, tool_use\)"):
        load_tokenizer(folder)
    chosen = load_tokenizer(folder, "rag")
    assert chosen.encode_messages(CONVERSATIONS[0]) == _theirs(folder).apply_chat_template(
        CONVERSATIONS[0], chat_template="rag", add_generation_prompt=True, return_dict=False
    )
    with pytest.raises(TokenizerError, match=r"chat_template_name=chat is no .* rag, tool_use"):
        load_tokenizer(folder, "chat")
    with pytest.raises(TokenizerError, match="it has no chat template"):
        load_tokenizer(make_folder(tmp_path / "plain"), "chat")


@pytest.mark.parametrize("default", [True, False])
def test_files_of_templates_come_before_the_configured_one(tmp_path: Path, default: bool) -> None:
    folder = make_folder(tmp_path / "m", chat_template="configured")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("from a file")
    if default:
        (folder / "chat_template.jinja").write_text("the default file")
        rendered_alike(folder, CONVERSATIONS[0])
    else:
        with pytest.raises(ValueError, match="multiple chat templates"):
            _theirs(folder).apply_chat_template(CONVERSATIONS[0])
        with pytest.raises(TokenizerError, match="none is the default"):
            load_tokenizer(folder)
    assert load_tokenizer(folder, "rag").render is not None


@pytest.mark.parametrize("template", [3, ["a"], [{"name": "a"}], {"default": 1}])
def test_a_template_that_is_none(tmp_path: Path, template: Any) -> None:
    folder = make_folder(tmp_path / "m", chat_template=template)
    with pytest.raises(TokenizerError, match="chat_template is neither"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{{ 'abc'.index('z') }}",
        "{{ [][3].x }}",
        "{{ messages[0]['x']['y'] }}",
        "{{ messages[0].content + 1 }}",
        "{{ raise_exception('no system role') }}",
    ],
)
def test_whatever_a_template_raises_is_a_refusal(tmp_path: Path, template: str) -> None:
    folder = make_folder(tmp_path / "m", chat_template=template)
    with pytest.raises(TokenizerError, match="refuses the messages: "):
        load_tokenizer(folder).encode_messages(CONVERSATIONS[0])


def named(**tokens: Any) -> str:
    return json.dumps(tokens)


PLAIN = {"content": "x", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
SHOWS = (
    "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ unk_token }}"
    "|{{ bos_token is defined }}|{{ image_token }}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)
TEXT = [{"role": "user", "content": "a<x> b <y>c<z> <s>d</s> e"}]
FOLDERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "only in the map": (
        {"bos_token": None, "eos_token": None},
        {"special_tokens_map.json": named(bos_token="<s>", eos_token="</s>")},
    ),
    "objects in the map": (
        {},
        {"special_tokens_map.json": named(bos_token={**PLAIN, "content": "<x>", "lstrip": True}, pad_token="<y>")},
    ),
    "map over the configuration": ({"pad_token": "<y>"}, {"special_tokens_map.json": named(pad_token="<z>")}),
    "map beside added_tokens_decoder": (
        {"added_tokens_decoder": {"50": {**PLAIN, "content": "<x>", "special": True}}},
        {"special_tokens_map.json": named(pad_token="<z>")},
    ),
    "objects in the configuration": (
        {"pad_token": {"__type": "AddedToken", **PLAIN, "content": "<y>", "rstrip": True}},
        {},
    ),
    "additional in the configuration": ({"additional_special_tokens": ["<x>", "<y>"]}, {}),
    "extra in the configuration": ({"extra_special_tokens": ["<z>"]}, {}),
    "named extra": ({"extra_special_tokens": {"image_token": "<x>"}}, {}),
    "a name of the model's own": ({"image_token": "<y>"}, {}),
    "additional in the map": ({}, {"special_tokens_map.json": named(additional_special_tokens=["<x>", "<y>"])}),
    "extra in the map": (
        {"extra_special_tokens": ["<x>"]},
        {"special_tokens_map.json": named(extra_special_tokens=["<y>", {**PLAIN, "content": "<z>"}])},
    ),
    "added_tokens.json": ({"pad_token": "<x>"}, {"added_tokens.json": named(**{"<x>": 45, "<y>": 46})}),
    "ordinary added tokens": (
        {
            "added_tokens_decoder": {
                "50": {**PLAIN, "content": " b ", "special": False},
                "51": {**PLAIN, "content": "<z>", "normalized": True, "special": False},
            }
        },
        {},
    ),
    "no tokenizer_config.json": ({}, {"tokenizer_config.json": "{}", "chat_template.jinja": SHOWS}),
    "null tokens": ({"bos_token": None, "unk_token": None}, {}),
    "special tokens are split": ({"split_special_tokens": True}, {}),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_special_tokens_wherever_they_stand(tmp_path: Path, name: str) -> None:
    settings, files = FOLDERS[name]
    folder = make_folder(tmp_path / "m", chat_template=SHOWS, **settings)
    for file, text in files.items():
        (folder / file).write_text(text)
    rendered_alike(folder, TEXT)
    ours, theirs = load_tokenizer(folder), _theirs(folder)
    text = TEXT[0]["content"]
    assert ours.encode_prompt(text, raw=True) == theirs(text)["input_ids"]


CLASSES = [
    ("llama", "GPT2Tokenizer"),
    ("llama", "PreTrainedTokenizerFast"),
    ("llama", None),
    ("mistral", "LlamaTokenizerFast"),
    ("qwen2", "PreTrainedTokenizerFast"),
    ("qwen2", None),
    ("qwen3", "Qwen2TokenizerFast"),
    ("qwen3", None),
    ("smollm3", "TokenizersBackend"),
]


@pytest.mark.parametrize(("model", "tokenizer_class"), CLASSES)
def test_tokens_that_a_class_of_transformers_brings(tmp_path: Path, model: str, tokenizer_class: str | None) -> None:
    tokenizer = Tokenizer(
        BPE(
            {
                word: number
                for number, word in enumerate(["<|endoftext|>", "<s>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())])
            },
            [],
        )
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        named(chat_template=SHOWS, **({"tokenizer_class": tokenizer_class} if tokenizer_class else {}))
    )
    (tmp_path / "config.json").write_text(named(model_type=model, vocab_size=400))
    rendered_alike(tmp_path, TEXT)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"legacy": False},
        {"legacy": True},
        {"add_prefix_space": False},
        {"add_prefix_space": None},
        {"tokenizer_class": "PreTrainedTokenizerFast"},
    ],
)
def test_spaces_are_marked_as_the_class_of_transformers_marks_them(tmp_path: Path, settings: dict[str, Any]) -> None:
    letters = ["▁", *"abcde12[]|<>xyz", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = ["<unk>", "<s>", "</s>", *letters, "▁▁", "▁a", "ab"]
    merges = [("▁", "▁"), ("▁", "a"), ("a", "b")]
    tokenizer = Tokenizer(
        BPE(
            {word: number for number, word in enumerate(words)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = Sequence([Prepend("▁"), Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "chat_template": SHOWS, **settings})
    )
    (tmp_path / "config.json").write_text(named(model_type="llama", vocab_size=400))
    ours, theirs = load_tokenizer(tmp_path), _theirs(tmp_path)
    for text in ("ab", " ab", "  a  b ", "<s>ab</s> a b", "é", "\n a"):
        assert ours.encode_prompt(text, raw=True) == theirs(text)["input_ids"], text
    rendered_alike(tmp_path, TEXT)


def test_tokens_of_other_files_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    plain, more = make_folder(tmp_path / "a"), make_folder(tmp_path / "b", pad_token="<x>")
    assert load_tokenizer(plain).fingerprint != load_tokenizer(more).fingerprint


def test_a_token_that_the_model_has_no_embedding_for(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", pad_token="<x>")
    config = json.loads((folder / "config.json").read_text())
    size = load_tokenizer(folder).vocabulary_size
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": size - 1}))
    with pytest.raises(TokenizerError, match=f"'<x>', token {size - 1}, and the model has"):
        load_tokenizer(folder).encode_prompt("1<x>")


@pytest.mark.parametrize(
    "tokens", [{"bos_token": 3}, {"added_tokens_decoder": {"a": {}}}, {"pad_token": {"lstrip": True, "content": 1}}]
)
def test_tokens_in_a_form_that_is_none(tmp_path: Path, tokens: dict[str, Any]) -> None:
    with pytest.raises(TokenizerError, match=r"special tokens of .* cannot be read"):
        load_tokenizer(make_folder(tmp_path / "m", **tokens))
