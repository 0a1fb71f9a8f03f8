"""A model folder as people publish them: weights in shards, other files beside them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from vapo.model.folder.contents import INDEX, SINGLE

STRAYS = ("consolidated.safetensors", "adapter_model.safetensors", "optimizer.safetensors", "model-old.safetensors")
"""Files that no index names; vLLM takes the first for the weights, if it is let."""


def shard(folder: Path) -> None:
    """The folder's weights as two files and an index."""
    weights = load_file(folder / SINGLE)
    names, place = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file)
        place |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": place}))
    (folder / SINGLE).unlink()


def add_stray(folder: Path, name: str, weights: dict[str, torch.Tensor]) -> None:
    """A file of the same names and other numbers beside the weights."""
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / name)


def publish_like_others(folder: Path) -> None:
    """Shards, every stray file, Mistral's own description, and tensors of another head."""
    weights = load_file(folder / SINGLE)
    for stray in STRAYS:
        add_stray(folder, stray, weights)
    (folder / "params.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    rotary = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**weights, "v_head.summary.weight": torch.ones(1, 8), **rotary}, folder / SINGLE)
    shard(folder)
