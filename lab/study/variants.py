"""The study's variants: the platform's presets, put on a regime.

Invariants: every variant of a regime has the same task, base, problems, learning rates and budget
of rollouts; what differs is exactly what ``vapo.settings.presets`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.study.configuration import HORIZON, Configuration, Regime
from vapo.settings.presets import ABLATIONS, PRESETS, preset

BASELINES = ("ppo", "grpo", "dapo")
LEAVE_ONE_OUT = tuple(name.replace("without_", "no_") for name in ABLATIONS)
VARIANTS = ("vapo", *LEAVE_ONE_OUT, *BASELINES)
COMBINED: dict[str, tuple[str, ...]] = {
    "no_value_pretraining_nor_decoupled": ("without_value_pretraining", "without_decoupled_gae"),
    "no_length_adaptive_nor_decoupled": ("without_length_adaptive_lambda", "without_decoupled_gae"),
}
"""VAPO less two pieces: decoupled GAE beside a critic that starts wrong, and beside the fixed
lambda of the policy with which VC-PPO (arXiv 2503.01491) introduced it."""


def configure(variant: str, seed: int, regime: Regime) -> Configuration:
    """The configuration of ``variant`` in ``regime``.

    Raises:
        ValueError: no such variant.
    """
    return _apply(_differences(variant), Configuration(variant, seed, regime))


def _differences(variant: str) -> Mapping[str, Mapping[str, Any]]:
    name = variant.replace("no_", "without_") if variant in LEAVE_ONE_OUT else variant
    parts = COMBINED.get(variant, (name,))
    if not PRESETS.keys() | ABLATIONS.keys() >= set(parts):
        raise ValueError(f"variant={variant!r} is unknown; use one of {', '.join((*VARIANTS, *COMBINED))}")
    return preset(*parts)


def _apply(differences: Mapping[str, Mapping[str, Any]], base: Configuration) -> Configuration:
    pretraining = differences.get("value_pretraining", {}).get("enabled", True)
    samples = differences.get("sampling", {}).get("samples_per_prompt", base.regime.samples_per_prompt)
    return replace(
        base,
        regime=replace(base.regime, samples_per_prompt=samples),
        value_pretraining=pretraining,
        algorithm={"alpha": base.regime.alpha or HORIZON, **differences.get("algorithm", {})},
    )
