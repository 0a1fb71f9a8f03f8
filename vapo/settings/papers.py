"""What the papers set, against which ``vapo config --preset NAME`` shows a run's settings.

Values are the papers' own words (VAPO, arXiv 2504.05118, section 5.1 and Table 1; DAPO, arXiv
2503.14476, section 4.1; VC-PPO, arXiv 2503.01491), except where a comment says otherwise. What no
paper's words give is in ``SILENT``, not in the tables; a setting in neither has nothing to do with
the algorithm.

Invariant: data only; a key is a setting of :mod:`vapo.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SHARED: dict[str, Any] = {
    "ledger.max_staleness": 0,  # sampling and training take turns
    "algorithm.correction": "none",  # Eq 2
    "algorithm.clip_low": 0.2,
    "trainer.mini_batch_rollouts": 512,
    "trainer.actor_learning_rate": 1e-6,
    "evaluation.samples": 32,
    "evaluation.temperature": 1.0,
    "evaluation.top_p": 0.7,
}
_GROUPS: dict[str, Any] = {"sampling.samples_per_prompt": 16, "trainer.prompts_per_step": 512}
_CRITIC: dict[str, Any] = {
    "algorithm.estimator": "gae",
    "algorithm.drop_uniform_groups": False,
    "trainer.critic_learning_rate": 2e-6,
    "trainer.critic_epochs": None,
    "trainer.critic_mini_batch_rollouts": None,
    "trainer.critic_replay_steps": 0,
    "trainer.critic_version_lag": 0,  # VC-PPO Algorithm 1: values of the critic as it is
    "model.value_bounds": None,
}
_VAPO: dict[str, Any] = {
    **_SHARED,
    **_GROUPS,
    **_CRITIC,
    "algorithm.decoupled_gae": True,
    "algorithm.lambda_critic": 1.0,
    "algorithm.length_adaptive_lambda": True,
    "algorithm.alpha": 0.05,
    "algorithm.token_level_loss": True,
    "algorithm.clip_high": 0.28,
    "algorithm.positive_example_weight": 0.1,
    "value_pretraining.enabled": True,
    "value_pretraining.max_steps": 50,  # "50 steps", of what is not said; here rollout batches
    "trainer.max_steps": 295,  # read off Figure 1: 4,720 gradient updates, 16 per rollout batch
}
_PPO: dict[str, Any] = {
    **_SHARED,
    **_CRITIC,
    "sampling.samples_per_prompt": 1,
    "trainer.prompts_per_step": 8192,
    "algorithm.decoupled_gae": False,
    "algorithm.length_adaptive_lambda": False,
    "algorithm.lambda_policy": 0.95,
    "algorithm.token_level_loss": False,
    "algorithm.clip_high": 0.2,
    "algorithm.positive_example_weight": 0.0,
    "value_pretraining.enabled": False,
}
_GRPO: dict[str, Any] = {
    **_SHARED,
    **_GROUPS,
    "algorithm.estimator": "group",
    "algorithm.group_standard_deviation": True,
    "algorithm.drop_uniform_groups": False,
    "algorithm.token_level_loss": False,
    "algorithm.clip_high": 0.2,
    "algorithm.positive_example_weight": 0.0,
    "algorithm.truncation": "terminal",
    "verifier.reward_correct": 1.0,
    "verifier.reward_wrong": -1.0,
    "trainer.epochs": 1,  # "16 gradient updates for each rollout step"
    "value_pretraining.enabled": False,
}
_DAPO: dict[str, Any] = {
    **_GRPO,
    "algorithm.drop_uniform_groups": True,
    "algorithm.token_level_loss": True,
    "algorithm.clip_high": 0.28,
    "algorithm.truncation": "mask_and_punish",
    "algorithm.overlong_buffer_tokens": 4096,
    "sampling.max_new_tokens": 20480,
    "trainer.warmup_steps": 320,  # 20 rollout steps of 16 optimiser steps
    "trainer.max_steps": 330,  # read off Figure 1: 5,280 gradient updates, 16 per rollout batch
}
# The next two from secondary accounts, their own papers unread; what those leave out is VAPO's.
# Both are asynchronous, so they have no staleness of their own to compare with.
_ASYNCHRONOUS = {
    key: value for key, value in _VAPO.items() if key not in ("ledger.max_staleness", "trainer.critic_version_lag")
}
_BPCO: dict[str, Any] = {
    **_ASYNCHRONOUS,
    "sampling.samples_per_prompt": 1,
    "algorithm.alpha": 0.4,
    "model.value_bounds": [-1.0, 1.0],
    "algorithm.correction": "dppo",
}
_SAO: dict[str, Any] = {
    **_ASYNCHRONOUS,
    "sampling.samples_per_prompt": 1,
    "algorithm.alpha": 1.5,
    "algorithm.correction": "dis",
    "algorithm.correction_low": 0.7,
    "algorithm.correction_high": 6.0,
    "trainer.critic_epochs": 2,
    "trainer.critic_learning_rate": 5e-6,
}

PAPER: dict[str, dict[str, Any]] = {
    "vapo": _VAPO,
    "ppo": _PPO,
    "vanilla_ppo": _PPO,
    "grpo": _GRPO,
    "dapo": _DAPO,
    "bpco": _BPCO,
    "sao": _SAO,
}
"""Preset -> setting -> the paper's value."""

SILENT: dict[str, str] = {
    "sampling.max_new_tokens": "short responses by default; DAPO has 20480",
    "sampling.temperature": "the policy as it is; the papers name 1.0 for evaluation alone",
    "sampling.top_p": "the whole distribution, which the ratio is made of",
    "verifier.reward_correct": 'DAPO\'s; VAPO: "such as 0 and 1", but its curve begins at -0.88',
    "verifier.reward_wrong": 'DAPO\'s; VAPO: "such as 0 and 1", but its curve begins at -0.88',
    "algorithm.truncation": "docs/algorithm.md, truncated responses",
    "algorithm.whiten_advantages": "in no equation",
    "algorithm.entropy_weight": "in no equation",
    "algorithm.dual_clip": "in no equation",
    "trainer.epochs": "one pass: 8192 responses in 16 updates of 512, as DAPO says and VC-PPO does",
    "trainer.warmup_steps": 'VAPO: "warmup-constant", of unknown length',
    "trainer.weight_decay": "none, the plainest choice",
    "trainer.gradient_clip": "the customary 1.0",
    "trainer.adam_beta1": "the customary value",
    "trainer.adam_beta2": "customary for language models",
    "value_pretraining.epochs": "as in training",
    "value_pretraining.explained_variance": '"sufficiently low values" is all that is said; '
    "pretraining ends early once the critic explains this",
}
"""Settings that VAPO's text does not give, and why ours is as it is."""

REASONS: dict[str, str] = {
    "ledger.max_staleness": "responses are made while the trainer trains; the paper waits in turn",
    "trainer.critic_version_lag": "a response is scored as soon as it is whole, and again if its critic "
    "is more than this many versions older than the trainer's newest",
    "trainer.max_steps": "rounded from 5,000 gradient updates",
    "dapo trainer.max_steps": "as long as VAPO's run, so that a comparison compares algorithms",
    "trainer.warmup_steps": "in optimiser steps; sizes and rates are the same for all presets",
    "sampling.max_new_tokens": "short responses by default; raise it with model.max_context_tokens",
    "algorithm.overlong_buffer_tokens": "as large a part of 256 tokens as suits short responses",
    "sampling.samples_per_prompt": "sizes are the same for all presets, so that a comparison "
    "compares algorithms; vanilla_ppo has Table 1's",
    "trainer.prompts_per_step": "sizes are the same for all presets, so that a comparison compares "
    "algorithms; vanilla_ppo has Table 1's",
    "trainer.critic_learning_rate": "learning rates are the same for all presets",
}
"""Why a preset of ours differs from the paper; a reason for one preset comes before the general."""

NOTES: dict[str, str] = {
    "gae": "VAPO's critic starts from a reward model; here it starts from the policy's "
    "backbone with a head of zeros, unless value_pretraining.checkpoint names another. Its "
    '"50 steps" of value pretraining are taken for rollout batches.',
    "bpco": "The bounds of BPCO's mask are not known to us; they are prime-rl's, 0.2 each.",
    "sao": "SAO also freezes the critic's attention layers; that is not built.",
}
"""Differences that no setting expresses: by estimator, or by preset."""


@dataclass(frozen=True)
class Difference:
    """One setting that is not the paper's, or on which the paper is silent."""

    setting: str
    here: Any
    paper: Any
    """None with ``silent``."""
    silent: bool
    why: str


def differences_from_paper(
    name: str, tree: Mapping[str, Mapping[str, Any]], preset_tree: Mapping[str, Mapping[str, Any]]
) -> Iterator[Difference]:
    """All differences of a resolved tree from the paper's settings of method ``name``.

    Args:
        name: a preset; an ablation is compared with ``vapo``.
        tree: the run's settings, ``section -> key -> JSON value``.
        preset_tree: the same for the preset alone; what the user changed on top is told apart.
    """
    paper = PAPER.get(name, _VAPO)
    pretrains = _value(tree, "value_pretraining.enabled")
    for setting, expected in paper.items():
        here, preset_value = _value(tree, setting), _value(preset_tree, setting)
        if here != expected:
            why = _reason(name, setting, here == preset_value)
            yield Difference(setting, here, expected, False, why)
    for setting, why in SILENT.items():
        if setting not in paper and (pretrains or not setting.startswith("value_pretraining.")):
            here, preset_value = _value(tree, setting), _value(preset_tree, setting)
            yield Difference(setting, here, None, True, why if here == preset_value else "your settings")


def notes(name: str, estimator: str) -> list[str]:
    """What differs and is no setting."""
    return [NOTES[key] for key in (estimator, name) if key in NOTES]


def _reason(name: str, setting: str, from_preset: bool) -> str:
    if not from_preset:
        return "your settings"
    if name not in PAPER:
        return REASONS.get(setting, f"this is what {name} is about")
    return REASONS.get(f"{name} {setting}") or REASONS.get(setting, "our choice")


def _value(tree: Mapping[str, Mapping[str, Any]], setting: str) -> Any:
    section, _, key = setting.partition(".")
    return tree[section][key]
