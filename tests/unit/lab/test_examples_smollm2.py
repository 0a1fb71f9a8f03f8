"""The converter of examples/smollm2: a model written as llama.cpp has it comes back as it was."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quantize
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

EXAMPLE = Path(__file__).parents[3] / "examples" / "smollm2" / "convert.py"
HEADS, KEY_HEADS, LAYERS, CONTEXT = 4, 2, 2, 128
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
BYTES = "0123456789abcdefghijklmnopqrstuvwxyz.Ġ"
MERGES = ["Ġ Ġ", "a b", "1 2"]
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *BYTES, "ĠĠ", "ab", "12"]


@pytest.fixture(scope="module")
def convert() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smollm2_convert", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=CONTEXT,
        rope_theta=100000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data = torch.normal(0.0, 0.5, parameter.shape).bfloat16().float()
    return model


@pytest.fixture(scope="module")
def folder(convert: ModuleType, original: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("smollm2")
    write_gguf(convert, original, place / "model.gguf")
    convert.convert(place / "model.gguf", place / "folder")
    return place / "folder"


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp stores queries and keys: the rotary halves of a head alternate, row by row."""
    stored = np.empty_like(rows)
    width = len(rows) // heads
    for head in range(heads):
        for pair in range(width // 2):
            start = head * width
            stored[start + 2 * pair] = rows[start + pair]
            stored[start + 2 * pair + 1] = rows[start + width // 2 + pair]
    return stored


def write_gguf(convert: ModuleType, model: LlamaForCausalLM, file: Path) -> None:
    writer = GGUFWriter(file, "llama")
    config = model.config
    writer.add_vocab_size(config.vocab_size)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_context_length(CONTEXT)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(100000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = {convert.hugging_face_name(stored): stored for stored in stored_names()}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied: not stored
            continue
        rows = tensor.float().numpy()
        heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
        rows = interleaved(rows, heads) if heads else rows
        kind = GGMLQuantizationType.F32 if rows.ndim == 1 else GGMLQuantizationType.BF16
        writer.add_tensor(names[name], quantize(rows, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stored_names() -> list[str]:
    kinds = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
    layers = [f"blk.{layer}.{kind}.weight" for layer in range(LAYERS) for kind in kinds]
    return ["token_embd.weight", "output_norm.weight", *layers]


def test_the_folder_computes_what_the_model_computed(folder: Path, original: LlamaForCausalLM) -> None:
    back = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.randint(0, len(TOKENS), (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(back(tokens).logits, original(tokens).logits)


def test_digits_are_split_one_by_one_before_bytes_are_merged(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("ab  12.") == ["ab", "ĠĠ", "1", "2", "."]
    assert tokenizer.decode(tokenizer("ab  12.")["input_ids"]) == "ab  12."
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer("<|im_end|>")["input_ids"] == [2]


def test_the_folder_has_the_template_and_can_be_read_by_others(folder: Path) -> None:
    assert (folder / "chat_template.jinja").read_text("utf-8") == TEMPLATE
    assert json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "llama"
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in folder.iterdir())
