"""Every setting, defined once where it is documented, and read with its checks.

tree               the sections and their fields
sampling_bounds    which sampling values can be served
presets            baselines and the demo as differences from the defaults
papers             what the papers set
"""

from __future__ import annotations

from vapo.settings.tree import (
    ENVIRONMENT_PREFIX,
    MINIMUM_TOKEN_LENGTH,
    AlgorithmSettings,
    EvaluationSettings,
    ModelSettings,
    RedisSettings,
    RunSettings,
    SamplingSettings,
    SecuritySettings,
    Settings,
    SettingsError,
    TrainerSettings,
    ValuePretrainingSettings,
    VerifierSettings,
    WeightsSettings,
    dump_settings,
    is_loopback,
    load_settings,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "MINIMUM_TOKEN_LENGTH",
    "AlgorithmSettings",
    "EvaluationSettings",
    "ModelSettings",
    "RedisSettings",
    "RunSettings",
    "SamplingSettings",
    "SecuritySettings",
    "Settings",
    "SettingsError",
    "TrainerSettings",
    "ValuePretrainingSettings",
    "VerifierSettings",
    "WeightsSettings",
    "dump_settings",
    "is_loopback",
    "load_settings",
]
