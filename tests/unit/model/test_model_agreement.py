"""Configurations of which generator and trainer would make different models are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapo.model.folder.agreement import ARCHITECTURES, check_agreement
from vapo.model.folder.form import SUPPORTED_MODEL_TYPES, ModelFormError

FACTORS = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {"rope_type": "longrope", **FACTORS, "original_max_position_embeddings": 64}


def config_of(kind: str, **changes: Any) -> dict[str, Any]:
    return {"model_type": kind, "max_position_embeddings": 256, **changes}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"architectures": ["Phi3ForCausalLM"]}, r"architectures=\['Phi3ForCausalLM'\], which vLLM"),
    ({"architectures": ["LlamaForSequenceClassification"]}, 'ForCausalLM"] there'),
    ({"architectures": "LlamaForCausalLM"}, "architectures='LlamaForCausalLM'"),
    ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
    ({"hidden_act": "swish2"}, "hidden_act='swish2'"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}}, "partial_rotary_factor=0.25"),
    ({"logit_scale": 0.0625}, "logit_scale=0.0625"),
    ({"dual_chunk_attention_config": {"chunk_size": 262144}}, "dual_chunk_attention_config="),
    ({"is_causal": False}, "is_causal=False"),
    ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types of full_attention and"),
    ({"rope_scaling": {"type": "su", **FACTORS}, "rope_parameters": None}, "write 'longrope'"),
    ({"rope_parameters": {"type": "mrope", "mrope_section": [1, 1, 2]}}, "write 'default'"),
    ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "needs low_freq_factor, high_"),
    ({"rope_parameters": {"rope_type": "yarn"}}, "needs factor"),
    ({"rope_parameters": {"rope_type": "longrope"}}, "needs short_factor, long_factor"),
    ({"rope_parameters": {**LONGROPE, "attention_factor": 1.2}}, "attention_factor=1.2"),
    ({"rope_parameters": {**LONGROPE, "short_mscale": 1.1}}, "short_mscale=1.1"),
    ({"rope_parameters": {**LONGROPE, "factor": 8.0}}, "max_position_embeddings/orig.*=4"),
]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_the_two_would_compute_differently(kind: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFormError, match=said):
        check_agreement(config_of(kind, **changes), "model.path=x")


TAKEN: list[dict[str, Any]] = [
    {},
    {"hidden_act": "silu"},
    {"partial_rotary_factor": 1.0},
    {"logit_scale": None},
    {"dual_chunk_attention_config": None},
    {"layer_types": ["full_attention"] * 2},
    {"architectures": None},
    {"architectures": []},
    {"layer_types": ["sliding_attention"] * 2},
    {"rope_parameters": LONGROPE},
    {"rope_parameters": {**LONGROPE, "factor": 4.0}},
    {"rope_parameters": {"rope_type": "llama3", **LLAMA3}},
    {"rope_parameters": None, "rope_scaling": {"type": "yarn", "factor": 4.0}},
]


@given(st.sampled_from(SUPPORTED_MODEL_TYPES), st.sampled_from(TAKEN))
def test_what_changes_nothing_is_taken(kind: str, changes: dict[str, Any]) -> None:
    check_agreement(config_of(kind, **changes), "model.path=x")


@pytest.mark.parametrize("kind", SUPPORTED_MODEL_TYPES)
def test_the_form_s_own_classes_are_taken_and_another_form_s_are_not(kind: str) -> None:
    own = ARCHITECTURES[kind][0]
    for name in (own, own.replace("ForCausalLM", "Model")):
        check_agreement(config_of(kind, architectures=[name]), "model.path=x")
    other = "Qwen2ForCausalLM" if kind != "qwen2" else "Qwen3ForCausalLM"
    with pytest.raises(ModelFormError, match="which transformers goes by"):
        check_agreement(config_of(kind, architectures=[other]), "model.path=x")


def test_smollm3_may_have_layers_of_two_kinds() -> None:
    kinds = ["full_attention", "sliding_attention"]
    check_agreement(config_of("smollm3", layer_types=kinds), "model.path=x")
