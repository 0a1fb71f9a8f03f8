"""The study's variants: the platform's presets, put on a regime.

Invariants: every variant of a regime has the same task, base, problems, learning rates and budget
of rollouts; what differs is exactly what ``vapo.presets`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainer.study.configuration import HORIZON, Configuration, Regime
from vapo.presets import ABLATIONS, PRESETS, preset

BASELINES = ("ppo", "grpo", "dapo")
LEAVE_ONE_OUT = tuple(name.replace("without_", "no_") for name in ABLATIONS)
VARIANTS = ("vapo", *LEAVE_ONE_OUT, *BASELINES)
ONE_LAMBDA = "no_length_adaptive_nor_decoupled"
"""VAPO with one fixed lambda for advantages and targets: beside `no_length_adaptive_lambda` it is
decoupled GAE as VC-PPO (arXiv 2503.01491) introduced it, whose policy's lambda is fixed."""


def configure(variant: str, seed: int, regime: Regime) -> Configuration:
    """The configuration of ``variant`` in ``regime``.

    Raises:
        ValueError: no such variant.
    """
    if variant == ONE_LAMBDA:
        return _apply(_one_lambda(), Configuration(variant, seed, regime))
    name = variant.replace("no_", "without_") if variant in LEAVE_ONE_OUT else variant
    if name not in PRESETS | ABLATIONS:
        raise ValueError(f"variant={variant!r} is unknown; use one of {', '.join(VARIANTS)}")
    return _apply(preset(name), Configuration(variant, seed, regime))


def _one_lambda() -> dict[str, dict[str, Any]]:
    pieces = (ABLATIONS["without_length_adaptive_lambda"], ABLATIONS["without_decoupled_gae"])
    return {"algorithm": {name: value for piece in pieces
                          for name, value in piece["algorithm"].items()}}


def _apply(differences: Mapping[str, Mapping[str, Any]], base: Configuration) -> Configuration:
    pretraining = differences.get("value_pretraining", {}).get("enabled", True)
    samples = differences.get("sampling", {}).get(
        "samples_per_prompt", base.regime.samples_per_prompt)
    return replace(
        base,
        regime=replace(base.regime, samples_per_prompt=samples),
        value_pretraining=pretraining,
        algorithm={"alpha": base.regime.alpha or HORIZON, **differences.get("algorithm", {})},
    )
