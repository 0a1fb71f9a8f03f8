"""Every setting, defined once where it is documented, and read with its checks.

tree               the whole tree, and the checks across sections
common             sections that every part reads: run, model, Redis, network, tokens, ledger
sampling           how responses are sampled, for training and evaluation
services           gateway, generator, verifier, value
algorithm          VAPO's pieces and what baselines change
training           value pretraining and the optimisation
weights            how weights travel, and the relay
section            what all sections have in common
sampling_bounds    which sampling values can be served
corrections        facts of the off-policy corrections
transports         facts of the weight transports
truncation         what a response cut at the length limit means
options            --config and --set of every command line
loader             from files, environment and command line to the tree
refusals           what people read when settings are refused
renamed            settings of earlier versions
presets            baselines and the demo as differences from the defaults
papers             what the papers set
"""

from __future__ import annotations

from vapo.settings.algorithm import AlgorithmSettings
from vapo.settings.common import (
    MINIMUM_TOKEN_LENGTH,
    LedgerSettings,
    ModelSettings,
    NetworkSettings,
    RedisSettings,
    RunSettings,
    SecuritySettings,
    is_loopback,
)
from vapo.settings.loader import ENVIRONMENT_PREFIX, SettingsError, dump_settings, load_settings
from vapo.settings.sampling import EvaluationSettings, SamplingSettings
from vapo.settings.services import GatewaySettings, GeneratorSettings, ValueSettings, VerifierSettings
from vapo.settings.training import TrainerSettings, ValuePretrainingSettings
from vapo.settings.tree import Settings
from vapo.settings.weights import RelaySettings, WeightsSettings

__all__ = [
    "ENVIRONMENT_PREFIX",
    "MINIMUM_TOKEN_LENGTH",
    "AlgorithmSettings",
    "EvaluationSettings",
    "GatewaySettings",
    "GeneratorSettings",
    "LedgerSettings",
    "ModelSettings",
    "NetworkSettings",
    "RedisSettings",
    "RelaySettings",
    "RunSettings",
    "SamplingSettings",
    "SecuritySettings",
    "Settings",
    "SettingsError",
    "TrainerSettings",
    "ValuePretrainingSettings",
    "ValueSettings",
    "VerifierSettings",
    "WeightsSettings",
    "dump_settings",
    "is_loopback",
    "load_settings",
]
