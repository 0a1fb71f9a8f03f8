"""Baselines, ablations and the demo as differences from VAPO's defaults.

Each is a nested dictionary in the form of the settings file (``section -> key -> value``), laid
under the user's own settings. Sizes and learning rates are those of the demo alone: methods share
them, so that a comparison compares algorithms. The one exception is ``vanilla_ppo``, which has the
paper's. :mod:`vapo.settings.papers` has the papers' values and why a preset differs from them.
"""

from __future__ import annotations

from typing import Any

from vapo.settings.loader import merged

Preset = dict[str, dict[str, Any]]

_NO_CRITIC: dict[str, dict[str, Any]] = {"value_pretraining": {"enabled": False}}
_PPO: Preset = {
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
}

PRESETS: dict[str, Preset] = {
    # Everything on: the defaults.
    "vapo": {},
    # Vanilla PPO of VAPO section 5.1: lambda 0.95 for both, symmetric clip, Eq 6, no warm-up.
    "ppo": _PPO,
    # The same at the size of Table 1, 8192 prompts of one response, which has no group sampling.
    "vanilla_ppo": {**_PPO, "sampling": {"samples_per_prompt": 1}, "trainer": {"prompts_per_step": 8192}},
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
    # DAPO, all of its ladder: clip-higher, token-level loss, dynamic sampling, soft overlong
    # punishment, overlong filtering.
    "dapo": {
        "algorithm": {
            "estimator": "group",
            "drop_uniform_groups": True,
            "positive_example_weight": 0.0,
            "truncation": "mask_and_punish",
        },
        **_NO_CRITIC,
    },
    # BPCO (arXiv 2608.23566): the reward reaches further back, the head is bounded, stale tokens
    # are masked by a difference of probabilities.
    "bpco": {"algorithm": {"alpha": 0.4, "correction": "dppo"}, "model": {"value_bounds": [-1.0, 1.0]}},
    # SAO (arXiv 2607.07508): the reward reaches the first token, double-sided masking of stale
    # tokens, two critic updates per policy update.
    "sao": {
        "algorithm": {"alpha": 1.5, "correction": "dis", "correction_low": 0.7, "correction_high": 6.0},
        "trainer": {"critic_epochs": 2},
    },
}
"""Name of a method -> differences from the defaults."""

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


DEMO: Preset = {
    "run": {"name": "demo"},
    "model": {"max_context_tokens": 320},
    "sampling": {"samples_per_prompt": 8, "max_new_tokens": 224},
    "ledger": {"max_staleness": 1, "lease_seconds": 8.0, "heartbeat_seconds": 1.0},
    "generator": {"max_concurrent_sequences": 256, "cpu_kv_cache_gib": 0.25},
    "algorithm": {"alpha": 0.5},
    "value_pretraining": {"max_steps": 4},
    "trainer": {
        "prompts_per_step": 16,
        "mini_batch_rollouts": 64,
        "max_steps": 1000,
        "actor_learning_rate": 3e-4,
        "critic_learning_rate": 1e-3,
        "warmup_steps": 2,
        "token_budget": 1024,
        "checkpoint_every_steps": 10,
    },
    "evaluation": {"samples": 4, "top_p": 1.0},
}
"""The preset ``demo``: our choice for the default model, of 0.6 million parameters, on two CPU
cores. A method's differences lie over it."""


def preset(*names: str) -> Preset:
    """Differences of methods, ablations or ``demo``, later names over earlier ones.

    Raises:
        ValueError: no preset has such a name.
    """
    known = PRESETS | {"demo": DEMO} | ABLATIONS
    for name in names:
        if name not in known:
            raise ValueError(f"preset={name!r} is unknown; use one of {', '.join(known)}")
    return merged(*(known[name] for name in names))
