"""What a configuration says of a model, against transformers' own models and vLLM's own limit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from vapo.model.folder.form import (
    HEAD,
    SUPPORTED_MODEL_TYPES,
    ModelFormError,
    check_model_type,
    expected_tensors,
    longest_sequence,
)

SIZES: dict[str, st.SearchStrategy[Any]] = {
    "vocab_size": st.integers(5, 40),
    "hidden_size": st.sampled_from([16, 32]),
    "intermediate_size": st.integers(3, 40),
    "num_hidden_layers": st.integers(1, 3),
    "num_attention_heads": st.sampled_from([2, 4]),
}
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "num_key_value_heads": st.sampled_from([1, 2]),
    "head_dim": st.sampled_from([4, 8, 16]),
    "tie_word_embeddings": st.booleans(),
    "attention_bias": st.booleans(),
    "mlp_bias": st.booleans(),
}


@given(st.sampled_from(SUPPORTED_MODEL_TYPES), st.fixed_dictionaries(SIZES, optional=OPTIONS))
@settings(max_examples=60, deadline=None)
def test_tensors_are_those_of_transformers(kind: str, sizes: dict[str, Any]) -> None:
    config = {"model_type": kind, "num_key_value_heads": 2, **sizes}
    with torch.device("meta"):
        ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, **ids))
    named = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    assert expected_tensors(config) == named


@pytest.mark.parametrize("kind", SUPPORTED_MODEL_TYPES)
def test_what_a_configuration_leaves_out_is_as_in_transformers(kind: str) -> None:
    theirs = AutoConfig.for_model(kind)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(theirs)
    shapes = expected_tensors({"model_type": kind})
    assert shapes == {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    assert (HEAD not in shapes) == bool(theirs.tie_word_embeddings)
    assert longest_sequence({"model_type": kind})[0] == theirs.max_position_embeddings


@pytest.mark.parametrize("value", [0, -1, "4", 2.5, True, None])
def test_a_size_that_is_none(value: Any) -> None:
    with pytest.raises(ModelFormError, match="hidden_size"):
        expected_tensors({"model_type": "llama", "hidden_size": value})


@pytest.mark.parametrize("config", [{"model_type": "gemma2"}, {"model_type": 3}, {}])
def test_another_model_type_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(ModelFormError, match=r"model type .* supported are llama, mistral"):
        check_model_type(config, "model.path=x")


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8"])
def test_quantised_weights_are_refused_by_name(method: str) -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": method}}
    with pytest.raises(ModelFormError, match=rf"model\.path=x is quantised \({method}\)"):
        check_model_type(config, "model.path=x")


POSITIONS: list[tuple[dict[str, Any], int]] = [
    ({}, 100),
    ({"rope_scaling": None}, 100),
    ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 400),
    ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, 200),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 25}}, 100),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 100),
    ({"seq_length": 60}, 60),
    ({"sliding_window": 16}, 16),
    ({"sliding_window": 4096}, 100),
    ({"sliding_window": None}, 100),
    ({"model_type": "mistral", "sliding_window": 16}, 100),
    (
        {"rope_scaling": {"type": "su", "short_factor": [], "long_factor": []}, "original_max_position_embeddings": 30},
        30,
    ),
    ({"rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 40}}, 40),
    (
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "default"},
                "sliding_attention": {"rope_type": "linear", "factor": 2.0},
            }
        },
        200,
    ),
]


@pytest.mark.parametrize(("changes", "limit"), POSITIONS)
def test_the_longest_sequence(changes: dict[str, Any], limit: int) -> None:
    config = {"model_type": "llama", "max_position_embeddings": 100, **changes}
    assert longest_sequence(config)[0] == limit


@pytest.mark.parametrize("kind", ["dynamic", "ntk", "proportional", "new"])
def test_angles_that_depend_on_the_batch_are_refused(kind: str) -> None:
    config = {"model_type": "llama", "rope_scaling": {"type": kind, "factor": 2.0}}
    with pytest.raises(ModelFormError, match=f"rope type '{kind}' is not supported"):
        longest_sequence(config)


def test_the_page_names_every_form() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    forms = page.split("**Forms**:")[1].split(", in float32")[0]
    assert set(re.findall(r"`(\w+)`", forms)) == set(SUPPORTED_MODEL_TYPES), "docs/models.md, Forms"
