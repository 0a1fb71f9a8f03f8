"""Model folders as they are published: what is read of them, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.published_folder import STRAYS, add_stray, shard
from tests.support.trainer_cases import tiny_config, tiny_folder
from trainer.learning.policy import load_policy
from trainer.start_checks import check_models
from vapo.model.critic import WEIGHTS_NAME, load_critic, save_critic
from vapo.model.folder.contents import INDEX, ModelFolderError, check_model_folder
from vapo.model.folder.form import ModelFormError
from vapo.model.folder.loading import load_causal_lm
from vapo.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "model", "qwen3")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def write(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors")


def describe(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refusal(folder: Path, context_tokens: int | None = None) -> str:
    with pytest.raises((ModelFolderError, ModelFormError)) as refused:
        check_model_folder(folder, "--model", context_tokens)
    return str(refused.value)


def equal(one: torch.nn.Module, other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.named_parameters())


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("sharded", [False, True])
def test_only_the_files_that_hold_the_weights_are_read(folder: Path, stray: str, sharded: bool) -> None:
    weights = weights_of(folder)
    if sharded:
        shard(folder)
    add_stray(folder, stray, weights)
    check_model_folder(folder)
    assert equal(load_causal_lm(folder), weights)
    assert equal(load_policy(folder).causal_lm, weights)


def test_two_sets_of_weights_are_refused(folder: Path) -> None:
    weights = weights_of(folder)
    shard(folder)
    write(folder, weights)
    assert "two sets of weights" in refusal(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(weights, "model.safetensors")}))
    check_model_folder(folder)


@pytest.mark.parametrize("form", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"]
)
@pytest.mark.parametrize("sharded", [False, True])
def test_a_missing_tensor_is_never_made_up(tmp_path: Path, form: str, name: str, sharded: bool) -> None:
    folder = tiny_folder(tmp_path, form)
    weights = weights_of(folder)
    del weights[name]
    write(folder, weights)
    if sharded:
        shard(folder)
    assert f"lacks 1 of the {len(weights) + 1} tensors" in refusal(folder)
    assert name in refusal(folder)
    for load in (load_policy, load_critic):
        with pytest.raises(ModelFolderError, match="lacks 1 of"):
            load(folder)


def test_a_tensor_of_another_shape(folder: Path) -> None:
    weights = weights_of(folder)
    name = "model.layers.0.self_attn.q_proj.weight"
    write(folder, {**weights, name: weights[name][1:].clone()})
    assert f"{name} has shape [31, 32], but config.json describes [32, 32]" in refusal(folder)


def test_the_configuration_of_another_model(folder: Path) -> None:
    describe(folder, num_hidden_layers=1)
    assert "that its config.json does not describe, e.g. model.layers.1." in refusal(folder)
    describe(folder, num_hidden_layers=3)
    assert "lacks 11 of the 36 tensors" in refusal(folder)


def test_weights_that_are_no_floats(folder: Path) -> None:
    weights = weights_of(folder)
    write(folder, {**weights, "model.norm.weight": torch.ones(32, dtype=torch.int8)})
    assert "model.norm.weight is of type I8" in refusal(folder)


def test_tensors_beside_the_model_are_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = weights_of(folder)
    rotary = "model.layers.0.self_attn.rotary_emb.inv_freq"
    write(folder, {**weights, rotary: torch.ones(4), "v_head.summary.weight": torch.ones(1, 32)})
    with caplog.at_level(logging.WARNING):
        check_model_folder(folder)
    assert "v_head.summary.weight" in caplog.text
    assert rotary not in caplog.text
    assert equal(load_policy(folder).causal_lm, weights)
    assert not load_critic(folder).value_head.weight.any()


def test_a_tied_head_beside_its_embedding(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "llama", tied=True)
    weights = weights_of(folder)
    embedding = weights["model.embed_tokens.weight"]
    write(folder, {**weights, "lm_head.weight": embedding.clone()})
    check_model_folder(folder)
    assert equal(load_causal_lm(folder), weights)
    write(folder, {**weights, "lm_head.weight": embedding + 1})
    assert "says that the output head is the embedding (tie_word_embeddings)" in refusal(folder)


def test_half_precision_weights_are_loaded_as_they_are(folder: Path) -> None:
    weights = {name: tensor.bfloat16() for name, tensor in weights_of(folder).items()}
    write(folder, weights)
    check_model_folder(folder)
    loaded = load_causal_lm(folder)
    assert equal(loaded, {name: tensor.float() for name, tensor in weights.items()})


def test_a_context_longer_than_the_model(folder: Path) -> None:
    check_model_folder(folder, context_tokens=256)
    assert "model.max_context_tokens=257 is more than the 256 tokens that --model=" in refusal(folder, 257)
    longrope = {
        "rope_type": "longrope",
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
    }
    describe(folder, rope_parameters={"rope_theta": 1e4, **longrope})
    check_model_folder(folder, context_tokens=64)
    assert "angles of rope type longrope change with the longest row" in refusal(folder, 65)
    describe(folder, rope_parameters={"rope_theta": 1e4, "rope_type": "dynamic", "factor": 2.0})
    assert "rope type 'dynamic' is not supported" in refusal(folder, 64)


def test_a_configuration_that_transformers_refuses(folder: Path) -> None:
    describe(folder, rms_norm_eps="small")
    with pytest.raises(ModelFormError, match="is refused by transformers"):
        load_causal_lm(folder)


def test_dropout_is_off(folder: Path) -> None:
    describe(folder, attention_dropout=0.5)
    assert load_causal_lm(folder).config.attention_dropout == 0.0
    assert tiny_config().attention_dropout == 0.0


KINDS: list[tuple[list[str], str]] = [
    (["model.Q4_K_M.gguf"], "it holds GGUF files"),
    (["params.json", "consolidated.safetensors", "tekken.json"], "Mistral's (or Meta's) own form"),
    (["adapter_config.json", "adapter_model.safetensors"], "it is a LoRA adapter"),
    (["snapshots/abc/config.json"], "has no config.json, but"),
    (["inner/config.json"], "has no config.json, but"),
    (["README.md"], "has no config.json; give the local folder of a Hugging Face model"),
    (["config.json", "consolidated.safetensors"], "Mistral's own form (consolidated*.safetensors)"),
    (["config.json", "model-00001-of-00002.safetensors"], "without the index"),
    (["config.json", "model.gguf"], "GGUF files are for llama.cpp"),
    (["config.json", "pytorch_model.bin"], "files of pickled weights"),
    (["config.json", "adapter_model.safetensors"], "a LoRA adapter is none"),
    (["config.json", "weights.safetensors"], "has no weights (model.safetensors, or"),
]


@pytest.mark.parametrize(("files", "said"), KINDS)
def test_a_folder_of_another_kind_is_named(tmp_path: Path, files: list[str], said: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('{"model_type": "llama"}')
    assert said in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"), [("x.gguf", "is a GGUF file, which llama.cpp runs"), ("model.safetensors", "is a file; give")]
)
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).touch()
    assert said in refusal(tmp_path / name)


def test_a_name_of_the_hub_comes_with_the_command_that_fetches_it() -> None:
    said = refusal(Path("Qwen/Qwen2.5-0.5B"))
    assert "`hf download Qwen/Qwen2.5-0.5B --local-dir models/Qwen2.5-0.5B`" in said
    assert "hf download" not in refusal(Path("/nowhere/at/all"))


@pytest.mark.parametrize("bounds", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("form", ["qwen2", "llama"])
def test_a_pretrained_critic_of_another_model_is_refused_at_the_start(
    tmp_path: Path, form: str, bounds: tuple[float, float] | None
) -> None:
    save_critic(load_critic(tiny_folder(tmp_path / "model", form), bounds=bounds), tmp_path / "own")
    save_critic(load_critic(tiny_folder(tmp_path / "other", "qwen3")), tmp_path / "critic")
    settings = {
        "model": {"path": tmp_path / "model", "max_context_tokens": 256, "value_bounds": bounds},
        "sampling": {"max_new_tokens": 64},
    }

    def check(critic: str) -> None:
        check_models(Settings.model_validate({**settings, "value_pretraining": {"checkpoint": tmp_path / critic}}))

    check("own")
    with pytest.raises(ModelFolderError, match=r"value_pretraining\.checkpoint=.*/critic "):
        check("critic")
    weights = load_file(tmp_path / "own" / WEIGHTS_NAME)
    del weights["value_head.bias"]
    save_file(weights, tmp_path / "own" / WEIGHTS_NAME)
    with pytest.raises(ModelFolderError, match=r"lacks 1 of the .* e\.g\. value_head\.bias"):
        check("own")
