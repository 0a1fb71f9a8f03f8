"""The whole tree of settings, and the checks that look across sections.

Invariants:
- every part reads the same tree, so a resolved copy (``vapo config``) describes a whole run;
- an unknown key is refused, with the nearest known key named;
- a component takes its section as it is: nothing repeats a field, its default or its check, and
  what can be refused is refused when settings are read;
- defaults are the paper's (VAPO, arXiv 2504.05118) where the paper gives a value; fields whose
  default is our choice say so.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from pydantic import model_validator

from vapo.settings.algorithm import AlgorithmSettings
from vapo.settings.common import (
    LedgerSettings,
    ModelSettings,
    NetworkSettings,
    RedisSettings,
    RunSettings,
    SecuritySettings,
    is_loopback,
)
from vapo.settings.sampling import EvaluationSettings, SamplingSettings
from vapo.settings.section import PartSection, Section
from vapo.settings.services import GatewaySettings, GeneratorSettings, ValueSettings, VerifierSettings
from vapo.settings.training import TrainerSettings, ValuePretrainingSettings
from vapo.settings.truncation import PUNISHING
from vapo.settings.weights import RelaySettings, WeightsSettings


class Settings(Section):
    """The whole tree."""

    run: RunSettings = RunSettings()
    model: ModelSettings = ModelSettings()
    redis: RedisSettings = RedisSettings()
    network: NetworkSettings = NetworkSettings()
    security: SecuritySettings = SecuritySettings()
    sampling: SamplingSettings = SamplingSettings()
    ledger: LedgerSettings = LedgerSettings()
    gateway: GatewaySettings = GatewaySettings()
    generator: GeneratorSettings = GeneratorSettings()
    verifier: VerifierSettings = VerifierSettings()
    value: ValueSettings = ValueSettings()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    value_pretraining: ValuePretrainingSettings = ValuePretrainingSettings()
    trainer: TrainerSettings = TrainerSettings()
    weights: WeightsSettings = WeightsSettings()
    relay: RelaySettings = RelaySettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def weights_cache_directory(self) -> Path:
        """Where a replica keeps what it fetched over HTTP."""
        return self.weights.cache_directory or self.run.directory / "weights-cache"

    @property
    def relay_directory(self) -> Path:
        """Where the relay keeps what it fetched."""
        return self.relay.directory or self.run.directory / "weights-relay"

    @property
    def rollouts_per_step(self) -> int:
        """Responses in one rollout batch."""
        return self.trainer.prompts_per_step * self.sampling.samples_per_prompt

    @property
    def has_critic(self) -> bool:
        """Whether the run has a critic; group estimators have none, nothing scores for them."""
        return self.algorithm.estimator == "gae"

    @property
    def punishes_length(self) -> bool:
        """Whether DAPO Eq 13 is added to the verifier's reward."""
        return self.algorithm.truncation in PUNISHING

    @property
    def reward_range(self) -> tuple[float, float]:
        """Lowest and highest reward a response can have."""
        verifier = self.verifier
        ends = (verifier.reward_wrong, verifier.reward_correct)
        return (
            min(ends) + min(0.0, verifier.format_reward) - float(self.punishes_length),
            max(ends) + max(0.0, verifier.format_reward),
        )

    @property
    def trains_whole_groups(self) -> bool:
        """Whether all rollouts of a task are trained in one batch: its rewards are compared."""
        return self.algorithm.estimator == "group" or self.algorithm.drop_uniform_groups

    @property
    def admission_capacity(self) -> int:
        """Most rollouts admitted and not yet trained."""
        return (self.ledger.max_staleness + 1) * self.rollouts_per_step

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.trainer.mini_batch_rollouts > self.rollouts_per_step:
            raise ValueError(
                f"trainer.mini_batch_rollouts={self.trainer.mini_batch_rollouts} is more than "
                f"prompts_per_step * samples_per_prompt = {self.rollouts_per_step}; lower it"
            )
        if self.sampling.max_new_tokens >= self.model.max_context_tokens:
            raise ValueError(
                f"sampling.max_new_tokens={self.sampling.max_new_tokens} leaves no room for a "
                f"prompt in model.max_context_tokens={self.model.max_context_tokens}; "
                "lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_never_too_old(self) -> Settings:
        unpublished = min(self.trainer.publish_every_steps, self.trainer.max_steps) - 1
        if unpublished > self.ledger.max_staleness:
            raise ValueError(
                f"trainer.publish_every_steps={self.trainer.publish_every_steps} leaves generators "
                f"with weights up to {unpublished} steps old, and what they make of them is "
                f"dropped beyond ledger.max_staleness={self.ledger.max_staleness}, so no batch "
                f"would come; raise ledger.max_staleness to {unpublished}, or publish every "
                f"{self.ledger.max_staleness + 1} steps or more often"
            )
        return self

    @model_validator(mode="after")
    def _length_punishment_fits(self) -> Settings:
        buffer, limit = self.algorithm.overlong_buffer_tokens, self.sampling.max_new_tokens
        if self.punishes_length and buffer > limit:
            raise ValueError(
                f"algorithm.overlong_buffer_tokens={buffer} is longer than sampling.max_new_tokens={limit}, "
                f"so algorithm.truncation={self.algorithm.truncation} would punish responses of any length; "
                "lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _groups_can_differ(self) -> Settings:
        if self.trains_whole_groups and self.sampling.samples_per_prompt == 1:
            group = self.algorithm.estimator == "group"
            key, other = ("estimator", ("group", "gae")) if group else ("drop_uniform_groups", ("true", "false"))
            raise ValueError(
                f"sampling.samples_per_prompt=1 leaves algorithm.{key}={other[0]} nothing to compare, so nothing would "
                f"be learnt; set sampling.samples_per_prompt to 2 or more, or algorithm.{key}={other[1]}"
            )
        return self

    @model_validator(mode="after")
    def _value_bounds_hold_the_rewards(self) -> Settings:
        lowest, highest = self.reward_range
        bounds = self.model.value_bounds
        if bounds is not None and not (bounds[0] <= lowest and highest <= bounds[1]):
            raise ValueError(
                f"model.value_bounds={list(bounds)} do not hold the rewards, which run from "
                f"{lowest} to {highest}; a bounded critic could not learn them, so widen the bounds"
            )
        return self

    @model_validator(mode="after")
    def _weight_folders_differ(self) -> Settings:
        folders = {
            "the folder of published weights": self.run.weights_directory,
            "weights.cache_directory": self.weights_cache_directory,
            "relay.directory": self.relay_directory,
        }
        for (first, here), (second, there) in itertools.combinations(folders.items(), 2):
            if here.resolve() == there.resolve():
                raise ValueError(
                    f"{second}={there} is also {first}; each cleans up after itself, so give it a folder of its own"
                )
        return self

    @model_validator(mode="after")
    def _open_addresses_need_tokens(self) -> Settings:
        missing = [name for name in SecuritySettings.model_fields if getattr(self.security, name) is None]
        for name, section in self:
            if missing and isinstance(section, PartSection) and not is_loopback(section.host):
                raise ValueError(
                    f"{name}.host={section.host} is reachable from other machines, but "
                    f"security.{missing[0]} is not set; set all three tokens or bind 127.0.0.1"
                )
        return self
