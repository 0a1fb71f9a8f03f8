"""Baselines and ablations as differences from VAPO's defaults.

Each is a nested dictionary in the form of the settings file (``section -> key -> value``), laid
under the user's own settings. Sizes and learning rates are not in here: they are the same for all,
so that a comparison compares algorithms.
"""

from __future__ import annotations

from typing import Any

Preset = dict[str, dict[str, Any]]

_NO_CRITIC: dict[str, dict[str, Any]] = {"value_pretraining": {"enabled": False}}

PRESETS: dict[str, Preset] = {
    # Everything on: the defaults.
    "vapo": {},
    # Vanilla PPO of VAPO section 5.1: lambda 0.95 for both, symmetric clip, Eq 6, no warm-up.
    "ppo": {
        "algorithm": {
            "decoupled_gae": False,
            "length_adaptive_lambda": False,
            "lambda_policy": 0.95,
            "token_level_loss": False,
            "clip_high": 0.2,
            "positive_example_weight": 0.0,
            "truncation": "terminal",
        },
        "value_pretraining": {"enabled": False},
    },
    # GRPO as DAPO's starting point (its section 2): group baseline, Eq 6, no KL, symmetric clip.
    "grpo": {
        "algorithm": {
            "estimator": "group",
            "token_level_loss": False,
            "clip_high": 0.2,
            "positive_example_weight": 0.0,
            "truncation": "terminal",
        },
        **_NO_CRITIC,
    },
    # DAPO: clip-higher, token-level loss, soft overlong punishment, uniform groups left out.
    "dapo": {
        "algorithm": {
            "estimator": "group",
            "drop_uniform_groups": True,
            "positive_example_weight": 0.0,
            "truncation": "soft_punishment",
        },
        **_NO_CRITIC,
    },
}
"""Name -> differences from the defaults."""

ABLATIONS: dict[str, Preset] = {
    "without_value_pretraining": {"value_pretraining": {"enabled": False}},
    "without_decoupled_gae": {"algorithm": {"decoupled_gae": False}},
    "without_length_adaptive_lambda": {"algorithm": {"length_adaptive_lambda": False}},
    "without_clip_higher": {"algorithm": {"clip_high": 0.2}},
    "without_token_level_loss": {"algorithm": {"token_level_loss": False}},
    "without_positive_example_loss": {"algorithm": {"positive_example_weight": 0.0}},
    "without_group_sampling": {"sampling": {"samples_per_prompt": 1}},
}
"""VAPO less one piece each (VAPO Table 1). The last one also divides the responses of a rollout
step by the group size: raise ``trainer.prompts_per_step`` by as much to compare like with like."""


def preset(name: str) -> Preset:
    """Differences of preset or ablation ``name``.

    Raises:
        ValueError: no preset has that name.
    """
    known = PRESETS | ABLATIONS
    if name not in known:
        raise ValueError(f"preset={name!r} is unknown; use one of {', '.join(known)}")
    return known[name]
