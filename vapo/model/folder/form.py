"""What the configuration of a model says of it, without torch: its tensors, and how long a sequence
may be.

Invariants:
- a model type that is not listed here is trained, scored and generated from by no part;
- the tensors are those transformers makes for the same configuration, under their published names;
- the longest sequence is the one vLLM derives, and shorter where a position's rotary angles would
  depend on the rest of the batch, or attention would differ between vLLM and transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vapo.startup import StartupError

Shapes = dict[str, tuple[int, ...]]
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class ModelFormError(StartupError, ValueError):
    """A model of a form that no part can work with; the text names it and what is supported."""


@dataclass(frozen=True)
class _Defaults:
    """What transformers takes for a key that ``config.json`` leaves out."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None
    max_position_embeddings: int
    head_dim: int | None = None
    tie_word_embeddings: bool = False


_DEFAULTS = {
    "llama": _Defaults(32000, 4096, 11008, 32, 32, None, 2048),
    "mistral": _Defaults(32000, 4096, 14336, 32, 32, 8, 131072),
    "qwen2": _Defaults(151936, 4096, 22016, 32, 32, 32, 32768),
    "qwen3": _Defaults(151936, 4096, 22016, 32, 32, 32, 32768, head_dim=128),
    "smollm3": _Defaults(128256, 2048, 11008, 36, 16, 4, 32768, tie_word_embeddings=True),
}
SUPPORTED_MODEL_TYPES = tuple(_DEFAULTS)
"""Forms whose logits are the output head applied to the last hidden state, and nothing else."""
_ATTENTION_BIAS = {"llama": "qkvo", "qwen3": "qkvo", "smollm3": "qkvo"}
"""Projections with a bias where ``attention_bias`` is set; of Qwen2, q, k and v always have one."""
_MLP_BIAS = ("llama", "smollm3")
_LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
"""Keys of a configuration that vLLM reads a limit from; the smallest counts."""
_SCALED_POSITIONS = ("linear",)
"""Rope types whose ``factor`` multiplies the positions; of the others they are already scaled."""
_NO_WINDOW = ("llama",)
"""Forms of which transformers knows no ``sliding_window``, and vLLM obeys one."""
_CONSTANT_ROPE = ("default", "linear", "llama3", "yarn")
"""Rope types whose angles depend on the position alone."""
OLD_ROPE_NAMES = {"su": "longrope", "mrope": "default"}
"""Names that only old releases read, and what each is called today."""


def check_model_type(config: Mapping[str, Any], named: str) -> None:
    """Return when ``config`` is of a model that can be trained.

    Args:
        named: what names the folder, for the text.

    Raises:
        ModelFormError: it is of another type, or its weights are quantised.
    """
    model_type = config.get("model_type")
    if model_type not in _DEFAULTS:
        raise ModelFormError(
            f"{named} is of model type {model_type!r}; supported are "
            f"{', '.join(SUPPORTED_MODEL_TYPES)}: choose a model of these forms"
        )
    quantised = config.get("quantization_config") or config.get("compression_config")
    if quantised:
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else "?"
        raise ModelFormError(
            f"{named} is quantised ({method}), and quantised weights cannot be "
            "trained; take the model's folder in bfloat16, float16 or float32"
        )


def expected_tensors(config: Mapping[str, Any]) -> Shapes:
    """Name to shape of every tensor the model has; a tied output head is no tensor of its own.

    Raises:
        ModelFormError: a size in ``config`` is no positive number.
    """
    kind = str(config["model_type"])
    hidden, vocabulary = _size(config, "hidden_size"), _size(config, "vocab_size")
    shapes = {EMBEDDING: (vocabulary, hidden), "model.norm.weight": (hidden,)}
    if not is_tied(config):
        shapes[HEAD] = (vocabulary, hidden)
    layer = {
        **dict(_attention(config, kind, hidden)),
        **dict(_mlp(config, kind, hidden)),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    for number in range(_size(config, "num_hidden_layers")):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return shapes


def critic_tensors(config: Mapping[str, Any], bounded: bool) -> Shapes:
    """Likewise of a critic of this form: the model without its head, and a value head."""
    hidden = _size(config, "hidden_size")
    shapes = expected_tensors(config)
    shapes.pop(HEAD, None)
    head: Shapes = {"value_head.weight": (1, hidden), "value_head.bias": (1,)}
    return shapes | head | ({"value_bounds": (2,)} if bounded else {})


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the output head is the embedding."""
    default = _DEFAULTS[str(config["model_type"])].tie_word_embeddings
    return bool(config.get("tie_word_embeddings", default))


def longest_sequence(config: Mapping[str, Any]) -> tuple[int, str]:
    """The longest prompt plus response in tokens, and what in ``config`` says so.

    Raises:
        ModelFormError: the model's rotary angles depend on the length of the whole sequence.
    """
    stated = {key: int(config[key]) for key in _LENGTH_KEYS if config.get(key) is not None}
    if "max_position_embeddings" not in stated:
        default = _DEFAULTS[str(config["model_type"])].max_position_embeddings
        stated["max_position_embeddings"] = default
    stated_outright = bool(stated.get("model_max_length"))  # then vLLM asks no other key
    key = "model_max_length" if stated_outright else min(stated, key=stated.__getitem__)
    limit, reason = stated[key], f"{key}={stated[key]}"
    window = config.get("sliding_window")
    if config["model_type"] in _NO_WINDOW and window and window < limit:
        limit, reason = (
            int(window),
            (f"sliding_window={window}; beyond it vLLM attends to the window alone, and the trainer to all tokens"),
        )
    for rope in ropes(config):
        limit, reason = _limited_by_rope(rope, config, limit, reason)
    return limit, reason


def _limited_by_rope(rope: Mapping[str, Any], config: Mapping[str, Any], limit: int, reason: str) -> tuple[int, str]:
    kind = rope_type(rope)
    if kind == "longrope":
        original = (
            rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings") or limit
        )
        return min(limit, int(original)), (
            f"original_max_position_embeddings={original}; beyond it the angles of rope type "
            "longrope change with the longest row of a batch"
        )
    if kind not in _CONSTANT_ROPE:
        raise ModelFormError(
            f"rope type {kind!r} is not supported, since generator and trainer would not agree on "
            f"the angles of a position; supported are {', '.join(_CONSTANT_ROPE)} and longrope"
        )
    factor = rope.get("factor") if kind in _SCALED_POSITIONS else None
    return (int(limit * factor), f"{reason} times factor {factor}") if factor else (limit, reason)


def rope_type(rope: Mapping[str, Any]) -> str:
    """The type of one set of rope parameters, by its present name."""
    kind = stated_rope_type(rope)
    return OLD_ROPE_NAMES.get(kind, kind)


def stated_rope_type(rope: Mapping[str, Any]) -> str:
    """Likewise, as ``config.json`` calls it."""
    return str(rope.get("rope_type") or rope.get("type") or "default")


def ropes(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The sets of rope parameters: one, or one for each kind of layer."""
    stated = config.get("rope_parameters") or config.get("rope_scaling") or {}
    nested = [one for one in stated.values() if isinstance(one, Mapping)]
    yield from nested or ([stated] if stated else [])


def _attention(config: Mapping[str, Any], kind: str, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    heads = _size(config, "num_attention_heads")
    head = _number(config, "head_dim") or hidden // heads
    groups = _number(config, "num_key_value_heads") or heads
    biased = "qkv" if kind == "qwen2" else (_ATTENTION_BIAS.get(kind, "") if config.get("attention_bias") else "")
    outputs = {"q": heads * head, "k": groups * head, "v": groups * head, "o": hidden}
    for name, rows in outputs.items():
        yield f"self_attn.{name}_proj.weight", (rows, heads * head if name == "o" else hidden)
        if name in biased:
            yield f"self_attn.{name}_proj.bias", (rows,)
    if kind == "qwen3":
        yield from ((f"self_attn.{name}_norm.weight", (head,)) for name in "qk")


def _mlp(config: Mapping[str, Any], kind: str, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    inner = _size(config, "intermediate_size")
    for name, shape in {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}.items():
        yield f"mlp.{name}_proj.weight", shape
        if kind in _MLP_BIAS and config.get("mlp_bias"):
            yield f"mlp.{name}_proj.bias", shape[:1]


def _number(config: Mapping[str, Any], key: str) -> Any:
    return config.get(key, getattr(_DEFAULTS[str(config["model_type"])], key))


def _size(config: Mapping[str, Any], key: str) -> int:
    value = _number(config, key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelFormError(f"config.json says {key}={value!r}; it must be a positive number: copy the model again")
    return value
