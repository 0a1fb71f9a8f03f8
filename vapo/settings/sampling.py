"""Sections of how responses are sampled: for training, and in held-out evaluation."""

from __future__ import annotations

from pydantic import model_validator

from vapo.settings.sampling_bounds import NewTokens, Samples, Temperature, TopP, TrainingTemperature, greedy_refusal
from vapo.settings.section import Section


class SamplingSettings(Section):
    """How responses are sampled for training."""

    samples_per_prompt: Samples = 16
    """Group sampling: responses per prompt (VAPO section 5.1: 16)."""
    temperature: TrainingTemperature = 1.0
    """Sampling temperature (DAPO and VAPO evaluate at 1.0; training temperature is silent), 0.01 to
    2: the engine takes no more, and greedy responses teach nothing."""
    top_p: TopP = 1.0
    """Nucleus; below 1 the behaviour log-probs are of the truncated distribution."""
    max_new_tokens: NewTokens = 256
    """Longest response, in tokens; longer ones end with finish reason ``length``."""


class EvaluationSettings(Section):
    """Held-out evaluation (VAPO: avg@32 at temperature 1.0, top-p 0.7)."""

    samples: Samples = 32
    """Responses per problem (k of avg@k)."""
    temperature: Temperature = 1.0
    """Sampling temperature, at most 2; 0 is greedy, with 1 sample."""
    top_p: TopP = 0.7
    """Nucleus."""

    @model_validator(mode="after")
    def _greedy_once(self) -> EvaluationSettings:
        refusal = greedy_refusal(self.temperature, self.samples)
        if refusal:
            raise ValueError(f"{refusal} (evaluation.samples=1)")
        return self
