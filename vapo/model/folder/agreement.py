"""What a configuration may say that makes generator and trainer compute different models, or that
one of them does not take: refused before anything is loaded.

vLLM and transformers read some keys of ``config.json`` differently. A policy that is trained with
one model's sums and sampled with another's learns from wrong ratios, so each such key is refused.

Invariants:
- a configuration that passes gives equal log-probs in both, up to rounding;
- what is refused is named, with its value and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vapo.model.folder.form import OLD_ROPE_NAMES, ModelFormError, ropes, stated_rope_type

ACTIVATION = "silu"
"""The only one vLLM has for these forms."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "partial_rotary_factor": (None, 1, 1.0),
    "logit_scale": (None, 1, 1.0),
    "dual_chunk_attention_config": (None, {}),
    "is_causal": (None, True),
}
"""Keys that one of the two leaves out of its sums, and the values that change nothing."""
ROPE_NEEDS = {
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor"),
}
ARCHITECTURES = {
    "llama": ("LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM"),
    "mistral": ("MistralForCausalLM", "LlamaForCausalLM"),
    "qwen2": ("Qwen2ForCausalLM",),
    "qwen3": ("Qwen3ForCausalLM",),
    "smollm3": ("SmolLM3ForCausalLM",),
}
"""Of each form; the two of Llama and Mistral compute the same. vLLM goes by this name, transformers
by the model type."""
BASE_CLASS = "Model"
"""End of the name of a class without output head, which vLLM gives one."""
LONGROPE_SCALES = ("attention_factor", "short_mscale", "long_mscale")
"""Each is read by one of the two alone."""


def check_agreement(config: Mapping[str, Any], named: str) -> None:
    """Return when generator and trainer make the same model of ``config``.

    Args:
        named: what names the folder, for the text.

    Raises:
        ModelFormError: they would not.
    """
    activation = config.get("hidden_act", ACTIVATION)
    if activation != ACTIVATION:
        raise ModelFormError(
            f"{named}: config.json says hidden_act={activation!r}, and vLLM has "
            f"{ACTIVATION!r} alone for this form; choose another model"
        )
    _check_architecture(config, named)
    _check_neutral(config, named)
    _check_layers(config, named)
    for rope in ropes(config):
        _check_neutral(rope, named)
        _check_rope(rope, config, named)


def _check_architecture(config: Mapping[str, Any], named: str) -> None:
    kind, stated = str(config.get("model_type")), config.get("architectures") or []
    known = ARCHITECTURES.get(kind, ())
    taken = {*known, *(name.removesuffix("ForCausalLM") + BASE_CLASS for name in known)}
    if known and not (isinstance(stated, list) and taken.issuperset(stated)):
        raise ModelFormError(
            f"{named}: config.json says architectures={stated!r}, which vLLM goes "
            f"by, and model_type={kind!r}, which transformers goes by; if the "
            f'weights are of that type, write ["{known[0]}"] there'
        )


def _check_neutral(stated: Mapping[str, Any], named: str) -> None:
    for key, harmless in NEUTRAL.items():
        if stated.get(key) not in harmless:
            raise _differ(named, f"{key}={stated[key]!r}")


def _check_layers(config: Mapping[str, Any], named: str) -> None:
    """SmolLM3 apart, one kind of attention in all layers: vLLM's models have no other."""
    if config.get("model_type") == "smollm3":
        return
    kinds = sorted(set(config.get("layer_types") or ()))
    if len(kinds) > 1:
        raise ModelFormError(
            f"{named}: config.json says layer_types of {' and '.join(kinds)}, and "
            "vLLM takes one kind for all layers of this form; choose another "
            "model"
        )


def _check_rope(rope: Mapping[str, Any], config: Mapping[str, Any], named: str) -> None:
    kind = stated_rope_type(rope)
    if kind in OLD_ROPE_NAMES:
        raise ModelFormError(
            f"{named}: rope type {kind!r} is an old name that transformers does "
            f"not read; write {OLD_ROPE_NAMES[kind]!r} in config.json"
        )
    lacking = [key for key in ROPE_NEEDS.get(kind, ()) if rope.get(key) is None and config.get(key) is None]
    if lacking:
        raise ModelFormError(
            f"{named}: rope type {kind!r} needs {', '.join(lacking)}, which "
            "config.json does not say; copy the model again"
        )
    if kind == "longrope":
        _check_longrope(rope, config, named)


def _check_longrope(rope: Mapping[str, Any], config: Mapping[str, Any], named: str) -> None:
    for key in LONGROPE_SCALES:
        if rope.get(key) is not None:
            raise _differ(named, f"{key}={rope[key]!r} for rope type longrope")
    key = "original_max_position_embeddings"
    original, longest = rope.get(key) or config.get(key), config.get("max_position_embeddings")
    factor = rope.get("factor")
    if original and longest and factor is not None and factor != longest / original:
        raise _differ(
            named, f"factor={factor!r} for rope type longrope, and max_position_embeddings/{key}={longest / original:g}"
        )


def _differ(named: str, what: str) -> ModelFormError:
    return ModelFormError(
        f"{named}: config.json says {what}; generator (vLLM) and trainer (transformers) would "
        "compute different models of it: choose another model, or remove it if the weights were "
        "not trained with it"
    )
